#!/usr/bin/env python3
"""check_quick.py BUILD: no test with the label quick can reach ../shared.

Looks into the object files of each such test's program, and into scripts that are tests themselves.  The
reader of reference tensors offers shared_path() to every test, so its own object does not count, calls do.
A program that is a `shared` test too, with other arguments, may hold both ways.
"""
import json
import pathlib
import re
import subprocess
import sys

FORBIDDEN = re.compile(rb"CONURE_SHARED|\.\./shared|shared_path")
READER = "golden.c.o"


def objects_of(build, program):
    return [p for p in build.glob(f"**/CMakeFiles/{program.name}.dir/**/*.o") if p.name != READER]


def tests_of(build, label):
    text = subprocess.run(["ctest", "--test-dir", build, "-L", f"^{label}$", "--show-only=json-v1"],
                          check=True, capture_output=True).stdout
    return json.loads(text)["tests"]


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    tests, bad = tests_of(build, "quick"), []
    shared = [test["command"] for test in tests_of(build, "shared")]
    for test in tests:
        command, files = test["command"], []
        if command not in shared and command[0] in [other[0] for other in shared]:
            continue
        for word in map(pathlib.Path, command):
            if word.is_file() and build in word.parents:
                files += objects_of(build, word)
            elif word.is_file() and word.suffix in {".sh", ".py", ".cmake"}:
                files.append(word)
        bad += [f"{test['name']}: {file}" for file in files if FORBIDDEN.search(file.read_bytes())]
    print("".join(line + "\n" for line in bad), end="")
    print(f"check_quick.py: {len(tests)} default tests, {len(bad)} read ../shared")
    return 1 if bad or not tests else 0


sys.exit(main())
