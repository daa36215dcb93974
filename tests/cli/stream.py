"""conure stream as its users see it: pipes, headers that lie, Ctrl-C, terminals.  stream.py CONURE SOURCE_DIR"""

import fcntl
import json
import os
import pathlib
import pty
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest
import wave

CONURE, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
SPEECH = str(SOURCE / "tests/data/audio/goforward.flac")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits "ignore", and would pass it on
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("CONURE_", "XDG_")) and k != "NO_COLOR"}
SHORT = ("--preset", "1-0.32-0.24")  # many steps in little audio


def tones(seconds, rate, channels=1):
    """Samples that a random model has something to say about."""
    rng = random.Random(7)
    out, phase = [], 0.0
    for i in range(int(seconds * rate)):
        if i % (rate // 5) == 0:
            step, level = rng.uniform(0.01, 0.4), rng.uniform(500, 9000)
        phase = (phase + step * 16000 / rate) % 2
        out += [int(level * (phase - 1)) + rng.randrange(-300, 300) // (c + 1) for c in range(channels)]
    return out


def header(data_bytes, rate=16000, channels=1, bits=16, tag=1, riff=b"RIFF", riff_bytes=0, before=b"", extensible=False):
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", 0xFFFE if extensible else tag, channels, rate, rate * block, block, bits)
    if extensible:
        form += struct.pack("<HHIH", 22, bits, 0, tag) + bytes.fromhex("000000001000800000aa00389b71")
    return riff + struct.pack("<I", riff_bytes) + b"WAVE" + before + b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", data_bytes)


def chunk(name, content):
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) & 1)


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)
        cls.model = str(cls.root / "mini.conure")
        subprocess.run([CONURE, "model", "random", "--preset", "mini", "-w", "int8", "-o", cls.model], check=True,
                       capture_output=True, env=ENVIRONMENT)
        cls.samples = tones(3.017, 16000)
        cls.pcm = struct.pack("<%dh" % len(cls.samples), *cls.samples)
        cls.want = cls.of_file(cls.pcm)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def of_file(cls, data, **options):
        """The result line for a whole file."""
        path = cls.root / "whole.wav"
        path.write_bytes(header(len(data), riff_bytes=36 + len(data), **options) + data)
        run = subprocess.run([CONURE, "stream", "-m", cls.model, "--json", *SHORT, path], capture_output=True, env=ENVIRONMENT, check=True)
        return json.loads(run.stdout.splitlines()[-1])

    def stream(self, *arguments, code=0, **options):
        run = subprocess.run([CONURE, "stream", *map(str, arguments)], capture_output=True, timeout=120, env=ENVIRONMENT, **options)
        self.assertEqual(run.returncode, code, run.stderr.decode())
        return run.stdout.decode("utf-8"), run.stderr.decode("utf-8")

    def result(self, *arguments, **options):
        out, _ = self.stream("-m", self.model, "--json", *SHORT, *arguments, **options)
        return json.loads(out.splitlines()[-1])

    def start(self, *arguments, **options):
        return subprocess.Popen([CONURE, "stream", "-m", self.model, *SHORT, *map(str, arguments)], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, bufsize=0, **options)

    def same(self, got, want=None):
        want = want or self.want
        for key in ("text", "tokens", "words", "duration"):
            self.assertEqual(got[key], want[key])
        self.assertTrue(got["tokens"])


class Pipes(Case):
    def test_embedded_model(self):
        self.assertEqual(self.stream(SPEECH), ("go forward ten meters\n", ""))

    def test_text_equals_json(self):
        path = self.root / "text.wav"
        path.write_bytes(header(len(self.pcm)) + self.pcm)
        self.assertEqual(self.stream("-m", self.model, *SHORT, "--no-endpoint", path)[0], self.want["text"] + "\n")

    def test_any_split(self):
        rng = random.Random(3)
        for kind in ("wav", "raw", "raw"):
            content = (header(0) if kind == "wav" else b"") + self.pcm
            process = self.start("--json", *(() if kind == "wav" else ("--raw", "s16le")), "-")
            at = 0
            while at < len(content):
                n = rng.choice((1, 2, 3, 7, 801, 4097, 20000))
                process.stdin.write(content[at : at + n])
                at += n
            out, err = process.communicate(timeout=60)
            self.assertEqual((process.returncode, err), (0, b""))
            self.same(json.loads(out.splitlines()[-1]))

    def test_real_time_with_jitter(self):
        """Events come while the input is still coming."""
        process = self.start("--json", "-")
        seen = []
        reader = threading.Thread(target=lambda: [seen.append((time.monotonic(), json.loads(line))) for line in process.stdout])
        reader.start()
        rng, begun = random.Random(5), time.monotonic()
        content = self.pcm[: 2 * 32000]
        process.stdin.write(header(0xFFFFFFFF))
        for at in range(0, len(content), 3201):
            due = begun + at / 32000 + rng.uniform(0, 0.15)
            time.sleep(max(0, due - time.monotonic()))
            process.stdin.write(content[at : at + 3201])
        ended = time.monotonic()
        process.stdin.close()
        reader.join(60)
        self.assertEqual(process.wait(60), 0)
        process.stdout.close(), process.stderr.close()
        early = [line for when, line in seen if when < ended - 0.3]
        self.assertGreaterEqual(len(early), 2)
        self.assertEqual(early[0]["sequence"], 1)
        self.same(seen[-1][1], self.of_file(content))

    def test_headers(self):
        odd, n = chunk(b"LIST", b"INFOabc"), len(self.pcm)
        for head in (header(0), header(0xFFFFFFFF, riff_bytes=0xFFFFFFFF), header(0xFFFFFFFF - 36), header(0x7FFFFF00), header(0x80000000),
                     header(n, before=odd * 3), header(n, extensible=True), header(0, before=chunk(b"JUNK", bytes(70000))),
                     header(0xFFFFFFFF, riff=b"RF64", before=chunk(b"ds64", struct.pack("<QQQI", 0, n, 0, 0)))):
            self.same(self.result("-", input=head + self.pcm))
        self.same(self.result("-", input=header(n) + self.pcm + odd))

    def test_header_that_declares_too_little(self):
        run = subprocess.run([CONURE, "stream", "--json", "-"], input=header(1000) + self.pcm, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(run.returncode, 1)
        self.assertIn(b"%d bytes come behind the audio" % (len(self.pcm) - 1000), run.stderr)
        run = subprocess.run([CONURE, "stream", "--raw", "f32le", "-"], input=struct.pack("<3001f", *[0] * 3000, 3e38), stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        self.assertEqual(run.returncode, 1)
        self.assertIn(b"sample 3000 ", run.stderr)

    def test_formats(self):
        s = self.samples
        for data, options in ((b"".join(struct.pack("<i", v << 8)[:3] for v in s), {"bits": 24}),
                              (struct.pack("<%di" % len(s), *(v << 16 for v in s)), {"bits": 32, "extensible": True}),
                              (struct.pack("<%df" % len(s), *(v / 32768 for v in s)), {"bits": 32, "tag": 3})):
            self.same(self.result("-", input=header(0, **options) + data))
        data = bytes((v >> 8) + 128 for v in s)
        self.same(self.result("-", input=header(0, bits=8) + data), self.of_file(data, bits=8))

    def test_rates_and_channels(self):
        for rate, channels in ((8000, 1), (44100, 2)):
            samples = tones(2, rate, channels)
            data = struct.pack("<%dh" % len(samples), *samples)
            want = self.of_file(data, rate=rate, channels=channels)
            self.same(self.result("-", input=header(0, rate=rate, channels=channels) + data), want)
            self.same(self.result("--raw", "s16le", "--rate", rate, "--channels", channels, "-", input=data), want)
        self.same(self.result("--channel", 1, "-", input=header(0, rate=rate, channels=2) + data),
                  self.of_file(b"".join(data[i : i + 2] for i in range(0, len(data), 4)), rate=rate))

    def test_rate_beyond_a_session(self):
        samples = tones(1, 4000)
        got = self.result("-", input=header(0, rate=4000) + struct.pack("<%dh" % len(samples), *samples))
        self.assertAlmostEqual(got["duration"], 1, places=3)

    def test_bad_headers(self):
        whole = header(0) + self.pcm[:2000]
        for n in (12, 15, 20, 30, 43):
            self.assertIn("within the header", self.stream("-m", self.model, "-", input=whole[:n], code=1)[1])
        for content, text in ((whole[:7], "standard input"), (b"", "standard input"), (header(0, tag=7, bits=8) + b"abc", "0x0007"),
                              (header(0, bits=64, tag=3) + bytes(64), "float"), (header(0, channels=0), "channels"),
                              (header(0, rate=0) + bytes(64), "0 Hz"), (header(0, before=struct.pack("<4sI", b"junk", 0xFFFFFFF0)), "in front"),
                              (header(0, before=chunk(b"junk", b"") * 300), "chunks"), (header(0).replace(b"fmt ", b"fmtx"), "format"),
                              (b"no audio at all" * 9, "standard input")):
            out, err = self.stream("-m", self.model, "-", input=content, code=1)
            self.assertIn(text, err)
            self.assertEqual((out, err.count("\n")), ("", 1))

    def test_odd_ends(self):
        for content, text in ((header(0) + self.pcm + b"\0", "last 1 bytes"), (header(len(self.pcm) + 2000) + self.pcm, "cut off")):
            out, err = self.stream("-m", self.model, "--json", *SHORT, "-", input=content, code=1)
            self.assertIn(text, err)
            result = json.loads(out.splitlines()[-1])
            self.same(result)
            self.assertIn(text, result["warnings"][0])
        self.assertIn("is empty", self.stream("-m", self.model, "--raw", "s16le", "-", input=b"", code=1)[1])

    def test_not_a_number(self):
        """What came before is told; then the reason."""
        samples = [v / 32768 for v in self.samples]
        samples[40000] = float("nan")
        out, err = self.stream("-m", self.model, "--raw", "f32le", "--json", *SHORT, "-", input=struct.pack("<%df" % len(samples), *samples), code=1)
        self.assertIn("sample 40000", err)
        self.assertTrue(json.loads(out.splitlines()[-1])["tokens"])


class Lines(Case):
    def test_json(self):
        out, _ = self.stream("-m", self.model, "--json", *SHORT, "-", input=header(0) + self.pcm)
        *events, result = map(json.loads, out.splitlines())
        self.assertEqual([e["sequence"] for e in events], list(range(1, len(events) + 1)))
        keys = {"type", "sequence", "flags", "utterance", "start", "end", "heard", "origin", "final", "tentative", "words", "tokens", "stats"}
        for before, e in zip([None] + events, events):
            self.assertEqual(set(e), keys)
            self.assertEqual(e["type"], "event")
            self.assertEqual(e["start"], before["end"] if before else 0)
            self.assertLessEqual(e["end"], e["heard"])
        self.assertIn("end", events[-1]["flags"])
        self.assertEqual(events[-1]["tentative"], "")
        self.assertTrue(any(e["tentative"] for e in events))
        self.assertEqual("".join(e["final"] for e in events), result["text"])
        for key in ("words", "tokens"):
            self.assertEqual(sum((e[key] for e in events), []), result[key])
        self.assertEqual(set(result), {"type", "file", "duration", "text", "words", "tokens", "model", "warnings", "stats"})
        self.assertEqual(set(result["tokens"][0]), {"id", "frame", "duration", "text", "confidence"})
        self.assertEqual(set(result["words"][0]), {"word", "start", "end", "confidence"})
        self.assertEqual((result["type"], result["file"], result["model"]["name"]), ("result", "-", "mini"))
        stats = result["stats"]
        self.assertAlmostEqual(stats["audio_s"], len(self.samples) / 16000, places=6)
        self.assertLess(0, stats["real_time_factor"])
        self.assertLessEqual(stats["step_p50_s"], stats["step_p95_s"])
        self.assertLess(0.5, stats["latency_s"])
        for name in ("steps", "encoder_calls", "frames", "tokens", "blanks", "utterances", "violations"):
            self.assertIsInstance(stats[name], int)

    def test_no_tentative(self):
        out, _ = self.stream("-m", self.model, "--json", *SHORT, "--no-tentative", "-", input=header(0) + self.pcm)
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertFalse(any(e["tentative"] for e in lines[:-1]))
        self.same(lines[-1])

    def test_contexts(self):
        for arguments in (("--preset", "1-0.32-0.24"), ("--left", 1, "--chunk", 0.32, "--right", 0.24)):
            out, _ = self.stream("-m", self.model, "--json", *arguments, "-", input=header(0) + self.pcm)
            self.same(json.loads(out.splitlines()[-1]))

    def test_usage(self):
        for arguments, text in ((["--preset", "quick"], "fastest"), (["--chunk", "0"], "chunk_s"), (["--channel", "each"], "--channel"),
                                (["--rate", "8000"], "--raw"), (["--mode", "cached"], "buffered, cache, reset"), (["--left", "x"], "number"),
                                (["--endpoint-energy-db", "500"], "energy_db")):
            self.assertIn(text, self.stream("-m", self.model, *arguments, SPEECH, code=2)[1])
        self.assertIn("unexpected", self.stream("a", "b", code=2)[1])
        self.assertIn("none", self.stream("-m", self.model, self.root / "none.wav", code=1)[1])
        self.assertIn("memory", self.stream("-m", self.model, "--memory", "1M", SPEECH, code=3)[1])

    def test_standard_output_that_fails(self):
        for arguments in ((), ("--json",)):
            read, write = os.pipe()
            os.close(read)
            run = subprocess.run([CONURE, "stream", "-m", self.model, *SHORT, *arguments, "-"], input=header(0) + self.pcm, stdout=write,
                                 stderr=subprocess.PIPE, env=ENVIRONMENT)
            os.close(write)
            self.assertEqual(run.returncode, 3)
            self.assertEqual(run.stderr.count(b"standard output"), 1)


class Interrupting(Case):
    def send(self, process, content):
        process.stdin.write(content)
        left = bytearray(4)
        while fcntl.ioctl(process.stdin, termios.FIONREAD, left) == 0 and any(left):
            time.sleep(0.01)

    def test_the_first_flushes(self):
        process = self.start("--json", "-")
        self.send(process, header(0) + self.pcm)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        self.same(json.loads(out.splitlines()[-1]))
        self.assertIn(b"Ctrl-C again stops at once", err)

    def test_the_second_stops(self):
        process = self.start("--isa", "c", "--threads", 1, "--preset", "60-60-60", "--raw", "s16le", "-")
        self.send(process, bytes(2 * 16000 * 120))
        process.send_signal(signal.SIGINT)
        self.assertIn(b"stops at once", process.stderr.readline())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out, err), (130, b"", b"conure: interrupted\n"))


class Screen:
    """As much of a terminal as the command uses; anything else fails the test."""

    def __init__(self, columns):
        self.columns, self.lines, self.row, self.column, self.wrapped = columns, [""], 0, 0, False

    def put(self, character):
        self.wrapped = self.wrapped or self.column >= self.columns
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
        self.column += 1

    def write(self, text):
        for control, character in re.findall("(\r|\n|\033\\[[0-9;]*[A-Za-z])|(.)", text, re.S):
            if character:
                self.put(character)
            elif control == "\r":
                self.column = 0
            elif control == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif control[-1] == "A":
                self.row -= int(control[2:-1])
            elif control[-1] == "C":
                self.column += int(control[2:-1])
            elif control[-1] == "J":
                self.lines = self.lines[: self.row + 1]
                self.lines[self.row] = self.lines[self.row][: self.column]
            elif control[-1] != "m":
                raise AssertionError(repr(control))


class Terminal(Case):
    def on_terminal(self, columns, *arguments, environment=None):
        try:
            main, side = pty.openpty()
        except OSError as error:
            self.skipTest(f"no pseudo-terminal here: {error}")
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen([CONURE, "stream", "-m", self.model, *SHORT, *arguments, "-"], stdin=subprocess.PIPE, stdout=side,
                                   stderr=subprocess.DEVNULL, env={**ENVIRONMENT, "TERM": "xterm", **(environment or {})})
        os.close(side)
        seen = bytearray()

        def read():
            try:
                while piece := os.read(main, 4096):
                    seen.extend(piece)
            except OSError:
                pass

        reader = threading.Thread(target=read)
        reader.start()
        process.communicate(header(0) + self.pcm, timeout=60)
        reader.join(60)
        os.close(main)
        self.assertEqual(process.returncode, 0)
        return seen.decode()

    def test_in_place(self):
        for columns in (200, 40, 17):
            seen = self.on_terminal(columns)
            screen = Screen(columns)
            screen.write(seen)
            self.assertFalse(screen.wrapped)
            self.assertEqual("".join("".join(screen.lines).split()), "".join(self.want["text"].split()))
            if columns == 200:
                self.assertEqual(" ".join(line.strip() for line in screen.lines).split(), self.want["text"].split())
            self.assertIn("\033[2m", seen)
            self.assertIn("\033[J", seen)

    def test_without_colours(self):
        seen = self.on_terminal(60, environment={"NO_COLOR": "1"})
        self.assertNotRegex(seen, "\033\\[[0-9;]*m")
        self.assertIn("\033[J", seen)
        self.assertNotIn("\033", self.on_terminal(60, environment={"TERM": "dumb"}))
        self.assertEqual(self.on_terminal(60, "--no-endpoint", environment={"TERM": "dumb"}).split(), self.want["text"].split())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
