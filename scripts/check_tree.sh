#!/usr/bin/env bash
# check_tree.sh - rules about the tracked files: what they may not name, how large they may be together,
# that scripts parse.  The layout of the source (clang-format) is only reported.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
failed=0

complain() {
    echo "check_tree.sh: $*" >&2
    failed=1
}

git rev-parse --git-dir >/dev/null || { echo "check_tree.sh: not a git clone" >&2; exit 1; }

# Folders of one machine.  Written so that this file does not match itself.
paths='(^|[^A-Za-z0-9_.$}/-])/([w]ork|[t]mp|[r]oot|[h]ome/[a-z]|[U]sers/[A-Za-z]|[m]nt/[a-z]|[s]cratch)/'
if lines=$(git grep -nIE "$paths"); then
    complain "paths of one machine:"$'\n'"$lines"
fi
# Hosts of package registries: which mirror a machine uses is the machine's own affair.
hosts='([p]ypi|[p]ythonhosted|deb\.[d]ebian|security\.[d]ebian|archive\.[u]buntu|crates\.[i]o|registry\.[n]pmjs|proxy\.[g]olang|[a]naconda\.org|conda-[f]orge|rubygems\.[o]rg|repo1?\.[m]aven)'
if lines=$(git grep -nIiE "$hosts"); then
    complain "hosts of package registries:"$'\n'"$lines"
fi
if lines=$(git grep -nIE '(TODO|FIXME|XXX)\b' -- '*.c' '*.h' '*.sh' '*.cmake' '*.txt' '*.py' ':!scripts/check_tree.sh' | grep -v XXXXXX); then
    complain "unfinished:"$'\n'"$lines"
fi

bytes=$(git ls-files -z | xargs -0 cat | wc -c)
[ "$bytes" -lt $((20 << 20)) ] || complain "the tracked files are $bytes bytes, more than 20 MiB"
echo "check_tree.sh: $(git ls-files | wc -l) tracked files, $((bytes >> 10)) KiB"

while read -r script; do
    bash -n "$script" || complain "$script does not parse"
    [ -x "$script" ] || complain "$script is not executable"
done < <(git ls-files '*.sh' .ci/run)

if command -v clang-format >/dev/null; then
    n=$(git ls-files '*.c' '*.h' | xargs clang-format --dry-run 2>&1 | sed -n 's/^\([^:]*\):.*warning:.*/\1/p' | sort -u | wc -l)
    [ "$n" -eq 0 ] || echo "check_tree.sh: warning: clang-format would change $n files"
fi
exit $failed
