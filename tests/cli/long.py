"""Recordings too long for one pass: windows, as their users see them.  long.py CONURE SOURCE_DIR AUDIO_DRIVER"""

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
import time
import unittest
import wave

CONURE, SOURCE, DRIVER = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
AUDIO = SOURCE / "tests/data/audio"
SPEECH = str(AUDIO / "goforward.flac")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits "ignore", and would pass it on
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("CONURE_", "XDG_")) and k != "NO_COLOR"}
LITTLE = ("--memory", "40M")  # one pass of the embedded model has 45 s in it
FRAME_S = 0.08


def wav(path, pcm, channels=1):
    with wave.open(str(path), "wb") as w:
        w.setparams((channels, 2, 16000, 0, "NONE", ""))
        w.writeframes(pcm)
    return path


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """The embedded model, and 72 s made of the shipped clips."""
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)
        cls.clips = [cls.decoded(path) for path in sorted(AUDIO.glob("*.flac"))]
        pcm = b"".join(cls.clips)
        cls.pcm = (pcm + pcm[::-1][: len(pcm) // 4 * 2] + pcm * 4)[: 2 * 16000 * 72]
        cls.long = wav(cls.root / "long.wav", cls.pcm)
        cls.want = cls.one("--stream", cls.long)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def convert(cls, source, target):
        subprocess.run([DRIVER, str(source), str(target)], check=True)
        return target

    @classmethod
    def decoded(cls, path):
        with wave.open(str(cls.convert(path, cls.root / "clip.wav"))) as w:
            return w.readframes(w.getnframes())

    @classmethod
    def run_it(cls, *arguments, command="transcribe", **options):
        return subprocess.run([CONURE, command, *map(str, arguments)], capture_output=True, timeout=300, env=ENVIRONMENT, **options)

    @classmethod
    def one(cls, *arguments, **options):
        return json.loads(cls.run_it("-f", "json", *arguments, **options).stdout)

    def transcribe(self, *arguments, code=0, **options):
        run = self.run_it(*arguments, **options)
        self.assertEqual(run.returncode, code, run.stderr.decode())
        return run.stdout.decode("utf-8"), run.stderr.decode("utf-8")

    def json(self, *arguments, code=0, **options):
        out, _ = self.transcribe("-f", "json", *arguments, code=code, **options)
        return json.loads(out)

    def same(self, got, want=None):
        want = want or self.want
        for key in ("duration", "text", "segments", "words", "tokens"):
            self.assertEqual(got[key], want[key])

    def rises(self, got):
        self.assertTrue(got["tokens"])
        for list_, key in ((got["tokens"], "frame"), (got["words"], "start"), (got["words"], "end"), (got["segments"], "start")):
            self.assertEqual([e[key] for e in list_], sorted(e[key] for e in list_))
        for w in got["words"] + got["segments"]:
            self.assertLessEqual(w["start"], w["end"])
            self.assertLessEqual(w["end"], got["duration"] + FRAME_S)


class Windows(Case):
    def test_what_does_not_fit_the_memory(self):
        out, err = self.transcribe("-f", "json", *LITTLE, self.long)
        self.assertRegex(err, r"^conure: \S*long\.wav: longer than the \S.* that fit the memory limit: transcribed in windows "
                              r"of 10-10-5 s, as with --stream\n$")
        self.same(json.loads(out))
        self.rises(self.want)
        self.assertEqual(self.want["warnings"], [])
        self.assertEqual(self.want["duration"], 72)
        self.assertGreater(len(self.want["words"]), 50)  # of about 100 that are said

    def test_tokens_of_a_session(self):
        run = self.run_it("--json", "--preset", "file", "--no-endpoint", self.long, command="stream")
        last = json.loads(run.stdout.splitlines()[-1])
        self.assertEqual(last["tokens"], self.want["tokens"])
        self.assertEqual(last["text"], self.want["text"])

    def test_words_are_where_they_are_said(self):
        """A clip of clear commands every 3.5 s: whatever a word becomes in a window, none is told where nothing was said."""
        clip, period = self.decoded(SPEECH), 3.5
        pause = struct.pack("<h", 3) * int(16000 * period - len(clip) / 2)
        pcm = (clip + pause) * 16
        for preset in ("file", "live", "fast"):
            got = self.json("--preset", preset, wav(self.root / "commands.wav", pcm))
            self.rises(got)
            starts = [w["start"] % period for w in got["words"]]
            self.assertGreater(len(starts), 32, preset)
            inside = sum(1 for at in starts if at < 2.8 or at > period - FRAME_S)
            self.assertGreaterEqual(inside, 0.95 * len(starts), (preset, starts))
            forward = [w["start"] % period for w in got["words"] if w["word"] == "forward"]
            self.assertGreaterEqual(len(forward), 8, preset)
            self.assertLess(max(abs(at - 0.72) for at in forward), 2.5 * FRAME_S, preset)

    def test_one_window_is_one_pass(self):
        """In every format, byte for byte: there is no other shape."""
        for form in (["text"], ["text", "-t"], ["json"], ["srt"], ["vtt"], ["tsv"]):
            want = self.transcribe("-f", *form, SPEECH)
            self.assertEqual(self.transcribe("-f", *form, "--preset", "10-60-5", SPEECH), want)

    def test_formats_agree(self):
        texts = [s["text"] for s in self.want["segments"]]
        self.assertEqual(self.transcribe("--stream", self.long)[0], self.want["text"] + "\n")
        rows = self.transcribe("--stream", "-f", "tsv", self.long)[0].splitlines()[1:]
        self.assertEqual([r.split("\t")[2] for r in rows], texts)
        for form in ("srt", "vtt"):
            out = self.transcribe("-f", form, *LITTLE, self.long)[0]
            self.assertIn("00:01:0", out)
            self.assertEqual("".join(re.findall(r"^(?!\d|WEBVTT).*$", out, re.M)).replace(" ", ""), self.want["text"].replace(" ", ""))

    def test_pipes(self):
        with wave.open(str(self.long)) as w:
            head = pathlib.Path(self.long).read_bytes()[: -2 * w.getnframes()]
        self.same(self.json("--raw", "s16le", *LITTLE, "-", input=self.pcm))
        self.same(self.json("--raw", "s16le", "--stream", "-", input=self.pcm))
        self.same(self.json(*LITTLE, "-", input=head + self.pcm))
        self.same(self.json("--stream", "-", input=head + self.pcm))
        lies = head[:4] + b"\xff\xff\xff\xff" + head[8:-4] + b"\xff\xff\xff\xff"
        self.same(self.json("--stream", "-", input=lies + self.pcm))

    def test_any_split(self):
        rng = random.Random(11)
        process = subprocess.Popen([CONURE, "transcribe", "-f", "json", "--stream", "--raw", "s16le", "-"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, env=ENVIRONMENT, bufsize=0)
        at = 0
        while at < len(self.pcm):
            n = rng.choice((1, 3, 801, 4097, 30000, 100001))
            process.stdin.write(self.pcm[at : at + n])
            at += n
        self.same(json.loads(process.communicate(timeout=300)[0]))
        self.assertEqual(process.returncode, 0)

    def test_other_rates_and_formats(self):
        self.same(self.json("--stream", self.convert(self.long, self.root / "long.flac")))
        self.same(self.json(*LITTLE, self.root / "long.flac"))
        slow = self.json("--raw", "s16le", "--rate", 8000, "--stream", "-", input=self.pcm[: len(self.pcm) // 2])
        self.assertEqual(slow["duration"], 72)
        self.rises(slow)

    def test_channels(self):
        other = self.pcm[2 * 16000 * 31 :] + self.pcm[: 2 * 16000 * 31]
        stereo = bytearray(2 * len(self.pcm))
        for first, pcm in ((0, self.pcm), (2, other)):
            stereo[first::4], stereo[first + 1 :: 4] = pcm[::2], pcm[1::2]
        path = wav(self.root / "stereo.wav", stereo, 2)
        want = [self.want, self.json("--stream", wav(self.root / "other.wav", other))]
        for arguments in (LITTLE, ("--stream",)):
            array = self.json(*arguments, "--channel", "each", path)
            self.assertEqual([a["channel"] for a in array], [1, 2])
            for a, w in zip(array, want):
                self.same(a, w)
        self.same(self.json("--stream", "--channel", 2, path), want[1])
        folder = self.root / "each"
        self.transcribe("--stream", "-f", "srt", "-o", folder, "--channel", "each", path)
        self.assertEqual(sorted(os.listdir(folder)), ["stereo.ch1.srt", "stereo.ch2.srt"])

    def test_among_others(self):
        """Long, short and bad ones in their order, whatever the batch."""
        (self.root / "noise.wav").write_bytes(b"this is no audio" * 50)
        files = [SPEECH, self.long, self.root / "noise.wav", AUDIO / "cards_001.flac"]
        for batch in (1, 2, 8):
            array = self.json(*LITTLE, "--batch", batch, *files, code=1)
            self.assertEqual([a["file"] for a in array], list(map(str, files)))
            self.assertEqual(array[0]["text"], "go forward ten meters")
            self.same(array[1])
            self.assertIn("noise.wav", array[2]["error"])
            self.assertEqual(array[3]["text"], self.json(files[3])["text"])


class Damage(Case):
    def check(self, path, least_s, *arguments):
        for arguments in (LITTLE, ("--stream",)):
            out, err = self.transcribe("-f", "json", *arguments, path, code=1)
            got = json.loads(out)
            self.assertEqual(len(got["warnings"]), 1)
            self.assertIn("warning", err)
            self.assertIn(path.name, err)
            self.assertGreater(got["duration"], least_s)
            self.rises(got)
            before = int((least_s - 25) / FRAME_S)  # what no window saw
            self.assertEqual(*([t for t in result["tokens"] if t["frame"] < before] for result in (got, self.want)))
            self.assertGreater(before, 300)

    def test_cut_off(self):
        path = self.root / "cut.wav"
        path.write_bytes(self.long.read_bytes()[: 44 + 2 * 16000 * 64])
        self.check(path, 63.9)

    def test_in_the_middle(self):
        path = self.convert(self.long, self.root / "middle.flac")
        content = bytearray(path.read_bytes())
        at = len(content) * 85 // 100
        content[at : at + 300] = bytes(v ^ 0x5A for v in content[at : at + 300])
        path.write_bytes(content)
        self.check(path, 50)

    def test_not_a_number(self):
        samples = [v / 32768 for v in struct.unpack("<%dh" % (len(self.pcm) // 2), self.pcm)]
        samples[1000000] = float("nan")
        out, err = self.transcribe("--raw", "f32le", "--stream", "-", input=struct.pack("<%df" % len(samples), *samples), code=1)
        self.assertIn("sample 1000000", err)
        self.assertEqual((out, err.count("\n")), ("", 1))

    def test_empty(self):
        self.assertIn("is empty", self.transcribe("--stream", wav(self.root / "nothing.wav", b""), code=1)[1])
        self.assertIn("is empty", self.transcribe("--stream", "--raw", "s16le", "-", input=b"", code=1)[1])
        self.assertEqual(self.json("--stream", "--raw", "s16le", "-", input=b"\0\0")["text"], "")


class Limits(Case):
    def test_smaller_windows_for_less_memory(self):
        _, err = self.transcribe("--memory", "32M", self.long)
        self.assertIn("windows of 10-2-2 s", err)

    def test_a_window_that_does_not_fit(self):
        out, err = self.transcribe("--memory", "32M", "--preset", "30-30-30", SPEECH, code=1)
        self.assertRegex(err, r"goforward\.flac: a window of 90\.\d s needs .*--preset, --memory")
        self.assertEqual((out, err.count("\n")), ("", 1))
        self.assertIn("not even one second", self.transcribe("--memory", "1M", "--stream", SPEECH, code=1)[1])

    def test_usage(self):
        for preset in ("quick", "10-0-2", "1-2", "10-2-2-2"):
            self.assertIn("fastest", self.transcribe("--preset", preset, SPEECH, code=2)[1])


class Interrupting(Case):
    def start(self, *arguments):
        return subprocess.Popen([CONURE, "transcribe", "-f", "json", *map(str, arguments)], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, bufsize=0)

    def send(self, process, content):
        process.stdin.write(content)
        left = bytearray(4)
        while fcntl.ioctl(process.stdin, termios.FIONREAD, left) == 0 and any(left):
            time.sleep(0.01)

    def test_the_first_flushes_a_pipe(self):
        pcm = self.pcm[: 2 * 16000 * 23]
        want = self.json("--stream", wav(self.root / "begin.wav", pcm))
        process = self.start("--stream", "--raw", "s16le", "-")
        self.send(process, pcm)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        self.same(json.loads(out), want)
        self.assertIn(b"Ctrl-C again stops at once", err)
        self.assertIn(b"1 of 1 files done", err)

    def huge(self):
        """Half an hour."""
        path = self.root / "huge.wav"
        if not path.exists():
            wav(path, self.pcm * 25)
        return path

    def test_the_first_ends_a_file(self):
        process = self.start("--threads", 1, *LITTLE, self.huge(), SPEECH)
        process.stderr.readline()  # that it goes through windows: so it takes the signal
        time.sleep(0.7)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 130, err)
        (got,) = json.loads(out)
        self.assertTrue(0 < got["duration"] < 1800)
        self.assertIn(b"1 of 2 files done", err)
        self.assertIn(b"the input ends here, after", err)
        before = min(got["duration"], 72) - 30  # what no window saw that was cut off, or that the end of the file is in
        self.assertEqual(*([t for t in result["tokens"] if t["frame"] * FRAME_S < before] for result in (got, self.want)))

    def test_the_second_stops(self):
        process = self.start("--threads", 1, "--isa", "c", "--preset", "60-60-60", self.huge())
        time.sleep(1)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        out, _ = process.communicate(timeout=60)
        self.assertEqual(out, b"")
        self.assertIn(process.returncode, (130, -signal.SIGINT))

    def test_progress(self):
        try:
            main, side = pty.openpty()
        except OSError as error:
            self.skipTest(f"no pseudo-terminal here: {error}")
        for arguments, text in (((*LITTLE, self.long), rb"transcribing long\.wav \d+ %, \d.* left"),
                                (("--stream", "--raw", "s16le", "-"), rb"transcribing standard input: \d.* so far; Ctrl-C ends it")):
            process = subprocess.Popen([CONURE, "transcribe", *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                       stderr=side, env={**ENVIRONMENT, "TERM": "xterm"})
            process.communicate(self.pcm if "-" in arguments else None, timeout=120)
            self.assertEqual(process.returncode, 0)
            os.set_blocking(main, False)
            seen = b""
            try:
                while piece := os.read(main, 65536):
                    seen += piece
            except OSError:
                pass
            os.set_blocking(main, True)
            self.assertRegex(seen, text)
        os.close(side)
        os.close(main)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
