"""Ten hours through conure transcribe: flat memory, times that rise and stay right.  hours.py CONURE SOURCE_DIR AUDIO_DRIVER [HOURS]

Each 10 s, a chunk of the windows, are the same three commands; the first of each hour are others.  The windows see the same again and
again, so what is said of them repeats, and any drift, loss or repetition shows.  Memory is looked at while the audio
comes through a pipe: at the end the transcript itself must be in it, at once."""

import collections
import fcntl
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import termios
import time
import wave

CONURE, SOURCE, DRIVER = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
HOURS = int(sys.argv[4]) if len(sys.argv) > 4 else 10
AUDIO = SOURCE / "tests/data/audio"
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("CONURE_", "XDG_"))}
PERIOD_S, FRAME_S, FRAMES = 10, 0.08, 125
PERIODS = 3600 // PERIOD_S  # of an hour
# A token takes 16 bytes, in an array that doubles: 10 hours at one token in 0.3 s are 2 to 4 MB; the rest is for pages that the
# allocator touches late.  Measured: docs/performance/streaming.md.
SMALL_BYTES = 6 << 20


def period(folder, names):
    """Clips one after the other, and silence up to ten seconds."""
    pcm = b""
    for name in names:
        subprocess.run([DRIVER, str(AUDIO / (name + ".flac")), str(folder / "clip.wav")], check=True)
        with wave.open(str(folder / "clip.wav")) as w:
            pcm += w.readframes(w.getnframes())
    return pcm.ljust(2 * 16000 * PERIOD_S, b"\0")[: 2 * 16000 * PERIOD_S]


def peak_bytes(pid, restart):
    """Peak resident memory since it was restarted, if the system allows that; else since the beginning."""
    peak = int(re.search(r"^VmHWM:\s*(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1]) * 1024
    if restart:
        try:
            pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")
        except OSError:
            pass
    return peak


def drain(pipe):
    left = bytearray(4)
    while fcntl.ioctl(pipe, termios.FIONREAD, left) == 0 and any(left):
        time.sleep(0.01)


def run(folder):
    common = period(folder, ["goforward"] * 3 + ["cards_004"])
    marker = period(folder, ["cards_001", "cards_003", "cards_004"] * 2 + ["cards_001"])
    out = folder / "out.json"
    peaks = []
    with open(out, "wb") as target:
        began = time.monotonic()
        process = subprocess.Popen([CONURE, "transcribe", "-f", "json", "--stream", "--raw", "s16le", "-"], stdin=subprocess.PIPE,
                                   stdout=target, env=ENVIRONMENT, bufsize=0)
        for hour in range(HOURS):
            for i in range(PERIODS):
                process.stdin.write(common if i else marker)
            drain(process.stdin)
            peaks.append(peak_bytes(process.pid, hour == 0))
            print("hour %2d: peak %.1f MB" % (hour + 1, peaks[-1] / 1e6), flush=True)
        process.stdin.close()
        assert process.wait(600) == 0
    taken_s = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print("%d h in %.0f s and %.0f s of processor time, %.4f of real time; peak with the transcript %.1f MB" % (
        HOURS, taken_s, used.ru_utime + used.ru_stime, taken_s / 3600 / HOURS, used.ru_maxrss * 1024 / 1e6))
    return json.loads(out.read_bytes()), peaks


def by_period(tokens, n):
    """For each ten seconds the tokens of its frames, counted from its first."""
    periods = [[] for _ in range(n)]
    for t in tokens:
        periods[t["frame"] // FRAMES].append((t["id"], t["frame"] % FRAMES))
    return periods


def check(result, peaks):
    n = HOURS * PERIODS
    assert result["duration"] == n * PERIOD_S, result["duration"]
    assert peaks[-1] <= peaks[0] + SMALL_BYTES, peaks
    for list_, key in ((result["tokens"], "frame"), (result["words"], "start"), (result["words"], "end"), (result["segments"], "start")):
        values = [e[key] for e in list_]
        assert values == sorted(values), key
    # Where the words are: "forward" 0.72 s into each common period, "clubs" of the markers only there.
    said = [[] for _ in range(n)]
    for w in result["words"]:
        said[int(w["start"] // PERIOD_S)].append((w["word"], round(w["start"] % PERIOD_S, 2)))
    for i, words in enumerate(said):
        if i % PERIODS:
            assert any(w[:3] == "for" and abs(at - 0.72) <= 2.01 * FRAME_S for w, at in words), (i, words)
            assert not any(w[:4] == "club" for w, _ in words), (i, words)
        else:
            for place in (1.84, 6.08):
                assert any(w[:4] == "club" and abs(at - place) <= 2.01 * FRAME_S for w, at in words), (i, words)
    # To the frame: the encoder gives the same again and again, only the predictor remembers.  So in each hour, the last like the
    # first, nearly all periods say the same at the same frames.
    periods = by_period(result["tokens"], n)
    usual = collections.Counter(map(tuple, periods)).most_common(1)[0][0]
    shares = [sum(tuple(p) == usual for p in periods[hour * PERIODS : (hour + 1) * PERIODS]) / PERIODS for hour in range(HOURS)]
    assert len(usual) >= 8 and min(shares) >= 0.9, shares
    print("%d words and %d tokens in %d periods; the same to the frame in %.1f to %.1f %% of an hour's" % (
        len(result["words"]), len(result["tokens"]), n, 100 * min(shares), 100 * max(shares)))


with tempfile.TemporaryDirectory(dir=".") as name:
    check(*run(pathlib.Path(name)))
