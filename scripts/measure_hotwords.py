#!/usr/bin/env python3
"""measure_hotwords.py CONURE CLIPS.tsv NAMES [OTHERS] [-- OPTION...]: what hotwords do to the names in some clips.
measure_hotwords.py --speak NAMES FOLDER: make such clips, each name three times, with espeak-ng.

CLIPS.tsv has columns file (beside it, or a folder below) and text.  OTHERS are names that occur in no text; conure is given both
lists in one.  For each score: recall of the names in the texts; how many of both lists were heard that were not said, and in how many
clips; the word error rate.  OPTIONs go to conure transcribe: --preset live.
"""
import collections
import csv
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile

SCORES = [None, 4, 6, 8, 10, 12, 16, 20]
SENTENCES = [
    "please call {} on monday", "the letter from {} is on the table", "we saw {} and {} at the station",
    "i do not think that {} will come today", "{} said that it was too late", "give the red book to {} and come back",
    "have you heard of {} and of {}", "my friend {} lives in the north of england",
]
VOICES = ["en-us", "en-gb", "en-gb-scotland", "en-us+f3", "en-gb+m3", "en-us+m5"]


def words_of(text):
    return re.sub(r"[^\w' ]", " ", text.lower()).split()


def phrases_of(path):
    lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines() if path else []
    return [tuple(words_of(line.split("\t")[0])) for line in lines if line.strip() and line[0] != "#"]


def speak(names, folder):
    folder.mkdir(parents=True, exist_ok=True)
    names = [" ".join(n) for n in phrases_of(names)] * 3
    random.seed(7)
    random.shuffle(names)
    rows = ["file\ttext"]
    while names:
        i = len(rows) - 1
        sentence = SENTENCES[i % len(SENTENCES)]
        sentence = sentence if sentence.count("{}") <= len(names) else SENTENCES[0]
        text = sentence.format(*(names.pop(0) for _ in range(sentence.count("{}"))))
        command = ["espeak-ng", "-v", VOICES[i % len(VOICES)], "-s", str(140 + 10 * (i % 4)), "-w", folder / f"s{i:03}.wav", text]
        subprocess.run(command, check=True)
        rows.append(f"s{i:03}.wav\t{text}")
    (folder / "clips.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def count(phrases, words):
    found = collections.Counter()
    for phrase in phrases:
        n = len(phrase)
        found[phrase] += sum(tuple(words[i : i + n]) == phrase for i in range(len(words) - n + 1))
    return found


def errors(want, got):
    row = list(range(len(got) + 1))
    for i, w in enumerate(want, 1):
        before, row[0] = row[0], i
        for j, g in enumerate(got, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (w != g))
    return row[-1]


def transcribe(conure, options, files):
    command = [conure, "transcribe", "-q", "-f", "json", *options, *map(str, files)]
    out = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return [words_of(one["text"]) for one in (out if isinstance(out, list) else [out])]


def measure(conure, options, table, names, others):
    with table.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    files = [next(p for p in (table.parent / r["file"], *table.parent.glob("*/" + r["file"])) if p.exists()) for r in rows]
    wants = [words_of(r["text"]) for r in rows]
    said = [count(names, w) for w in wants]
    n_said, n_words = sum(sum(s.values()) for s in said), sum(map(len, wants))
    print(f"{len(rows)} clips, {n_words} words, {len(names)} names said {n_said} times, {len(others)} others")
    print("| score | recall | false (clips) | WER |\n|---|---|---|---|")
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as both:
        both.write("\n".join(" ".join(p) for p in names + others) + "\n")
        both.flush()
        for score in SCORES:
            scored = ["--hotwords", both.name, "--hotword-score", str(score)] if score else []
            hits = false = n_clips = wrong = 0
            for want, s, got in zip(wants, said, transcribe(conure, options + scored, files)):
                heard = count(names + others, got)
                hits += sum(min(n, heard[p]) for p, n in s.items())
                extra = sum(max(0, n - s[p]) for p, n in heard.items())
                false += extra
                n_clips += extra > 0
                wrong += errors(want, got)
            recall, wer = 100 * hits / n_said, 100 * wrong / n_words
            print(f"| {score or 'no list'} | {hits} of {n_said}, {recall:.1f} % | {false} ({n_clips}) | {wer:.1f} % |")


def main(argv):
    split = argv.index("--") if "--" in argv else len(argv)
    options, argv = argv[split + 1 :], argv[1:split]
    if argv[:1] == ["--speak"] and len(argv) == 3:
        speak(argv[1], pathlib.Path(argv[2]))
    elif len(argv) in (3, 4):
        measure(argv[0], options, pathlib.Path(argv[1]), phrases_of(argv[2]), phrases_of(argv[3] if len(argv) > 3 else None))
    else:
        sys.exit(__doc__)


main(sys.argv)
