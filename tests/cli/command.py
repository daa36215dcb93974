"""The command as its users see it: exit codes, outputs, messages.  command.py CONURE SOURCE_DIR"""

import fcntl
import json
import os
import pathlib
import pty
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

CONURE, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
AUDIO = SOURCE / "tests/data/audio"
SPEECH = str(AUDIO / "goforward.flac")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits "ignore", and would pass it on
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("CONURE_", "XDG_")) and k != "NO_COLOR"}


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """A small random model: what it prints is meant for no one, but it prints it always."""
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)
        cls.model = str(cls.root / "mini.conure")
        subprocess.run([CONURE, "model", "random", "--preset", "mini", "-w", "int8", "-o", cls.model], check=True,
                       capture_output=True, env=ENVIRONMENT)
        with wave.open(str(cls.root / "stereo.wav"), "wb") as w:
            w.setparams((2, 2, 8000, 0, "NONE", ""))
            w.writeframes(b"".join(struct.pack("<hh", (i * 77) % 9000, -((i * 31) % 7000)) for i in range(12000)))
        (cls.root / "noise.wav").write_bytes(b"this is no audio" * 50)
        whole = (cls.root / "stereo.wav").read_bytes()
        (cls.root / "cut.wav").write_bytes(whole[: len(whole) // 2])

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def conure(self, *arguments, code=0, environment=None, **options):
        """Run it, check the exit code, return standard output and error as text."""
        home = {"XDG_CACHE_HOME": str(self.root / "cache")}
        run = subprocess.run([CONURE, *map(str, arguments)], capture_output=True, timeout=120,
                             env={**ENVIRONMENT, **home, **(environment or {})}, **options)
        self.assertEqual(run.returncode, code, run.stderr.decode())
        return run.stdout.decode("utf-8"), run.stderr.decode("utf-8")

    def transcribe(self, *arguments, **options):
        return self.conure("transcribe", "-m", self.model, *arguments, **options)


class Words(Case):
    """Help, usage errors, versions."""

    def test_help(self):
        for arguments in (["--help"], ["-h"], ["help"], ["help", "transcribe"], ["transcribe", "--help"], ["model", "--help"],
                          ["model", "info", "-h"], ["help", "model", "convert"]):
            out, err = self.conure(*arguments)
            self.assertIn("Usage: conure", out)
            self.assertEqual(err, "")
            self.assertLessEqual(max(map(len, out.splitlines())), 100)
        for name in re.findall(r"^  ([a-z]+) ", self.conure("--help")[0], re.M):
            if name != "conure":
                self.assertIn("Usage: conure " + name, self.conure(name, "--help")[0])

    def test_version(self):
        self.assertRegex(self.conure("--version")[0], r"^conure \d+\.\d+\.\d+\n$")

    def test_usage_errors(self):
        for arguments, text in (
            ([], ""), (["trnscribe", "x"], "did you mean 'conure transcribe'"), (["model"], ""), (["model", "inof"], "conure model info"),
            (["xyzzy"], "no command"), (["help", "xyzzy"], "no command"), (["transcribe"], "missing argument"),
            (["transcribe", "--fromat", "json", "x"], "did you mean '--format'"), (["transcribe", "-f", "xml", "x"], "text, json, srt"),
            (["transcribe", "--threads", "0", "x"], "from 1 to 64"), (["transcribe", "--threads"], "needs a value"),
            (["transcribe", "-Z", "x"], "'-Z'"), (["transcribe", "--rate", "8000", "x"], "--raw"),
            (["transcribe", "--raw", "s16le", "--rate", "99", "x"], "from 100 to"),
            (["transcribe", "--channel", "0", "x"], "--channel"), (["transcribe", "--channel", "left", "x"], "--channel"),
            (["transcribe", "--hotword-score", "5", "x"], "needs --hotwords"), (["stream", "--hotword-score", "5", "x"], "needs --hotwords"),
            (["transcribe", "--hotwords", "x", "--hotword-score", "100.5", "x"], "0 to 100"),
            (["transcribe", "--hotwords", "x", "--hotword-score", "nan", "x"], "--hotword-score"),
            (["transcribe", "-", "-"], "only once"), (["transcribe", "-f", "srt", "a", "b"], "--output-dir"),
            (["transcribe", "-f", "vtt", "--channel", "each", "a"], "--output-dir"), (["model", "convert", "x"], "--out"),
            (["model", "random"], "--out"), (["completion", "tcsh"], "bash, zsh and fish"), (["bench", "--seconds", "1,,2"], "--seconds"),
            (["bench", "--frames", "-5"], "--frames"), (["bench", "--runs", "0"], "--runs"), (["doctor", "extra"], "unexpected"),
        ):
            out, err = self.conure(*arguments, code=2)
            self.assertIn(text, err, arguments)

    def test_manuals(self):
        pages = [[]] + [[name] for name in re.findall(r"^  ([a-z]+) ", self.conure("--help")[0], re.M) if name != "conure"]
        for page in pages + [["model", "convert"]]:
            out, _ = self.conure("help", "--man", *page)
            self.assertTrue(out.startswith(".TH "))
            for section in (".SH NAME", ".SH SYNOPSIS", ".SH EXIT STATUS"):
                self.assertIn(section, out)
            if subprocess.run(["sh", "-c", "command -v groff"], capture_output=True).returncode == 0:
                run = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=out.encode(), capture_output=True)
                self.assertEqual(run.stderr, b"", page)

    def test_completion(self):
        for shell in ("bash", "zsh", "fish"):
            script, _ = self.conure("completion", shell)
            if subprocess.run(["sh", "-c", "command -v " + shell], capture_output=True).returncode == 0:
                run = subprocess.run([shell, "-n"], input=script.encode(), capture_output=True)
                self.assertEqual((run.returncode, run.stderr), (0, b""), shell)

    def complete(self, line):
        script, _ = self.conure("completion", "bash")
        words = line.split(" ")
        script += "\nCOMP_WORDS=(%s)\nCOMP_CWORD=%d\n_conure\nprintf '%%s\\n' \"${COMPREPLY[@]}\"\n" % (
            " ".join("'%s'" % w for w in words), len(words) - 1)
        run = subprocess.run(["bash", "--norc"], input=script.encode(), capture_output=True, cwd=self.root, check=True)
        return set(run.stdout.decode().split())

    def test_bash_completes(self):
        self.assertEqual(self.complete("conure tr"), {"transcribe"})
        self.assertEqual(self.complete("conure model "), {"info", "verify", "convert", "random", "--help"})
        self.assertEqual(self.complete("conure transcribe --form"), {"--format"})
        self.assertEqual(self.complete("conure transcribe -f "), {"text", "json", "srt", "vtt", "tsv"})
        self.assertEqual(self.complete("conure transcribe ster"), {"stereo.wav"})
        self.assertEqual(self.complete("conure model convert --weights i"), {"int8"})
        self.assertEqual(self.complete("conure completion z"), {"zsh"})


class Hotwords(Case):
    """Of the embedded model."""

    CLIP = str(AUDIO / "librispeech_7c95f9febc.flac")

    def list(self, text):
        path = self.root / "names.txt"
        path.write_bytes(text)
        return str(path)

    def test_found(self):
        names = self.list(b"# a comment\negyptian\nbondage\n")
        for command in (["transcribe"], ["transcribe", "--preset", "4-0.96-0.64"], ["stream", "--no-endpoint"]):
            without, _ = self.conure(*command, "-q", self.CLIP)
            out, _ = self.conure(*command, "-q", "--hotwords", names, self.CLIP)
            none, _ = self.conure(*command, "-q", "--hotwords", names, "--hotword-score", 0, self.CLIP)
            self.assertNotIn("egyptian", without)
            self.assertIn("egyptian", out)
            self.assertEqual(none, without)

    def test_bad_lists(self):
        for text, why in ((b"egyptian\nE\n", "line 2: 'E'"), (b"a\tx\n", "line 1: the score"), (b"\xff\n", "not UTF-8"), (b"", "no phrase")):
            for command in ("transcribe", "stream"):
                out, err = self.conure(command, "--hotwords", self.list(text), self.CLIP, code=3)
                self.assertEqual(out, "")
                self.assertIn("names.txt: ", err)
                self.assertIn(why, err)
        self.conure("transcribe", "--hotwords", self.root / "none.txt", self.CLIP, code=3)


class Transcribing(Case):
    def test_text(self):
        out, err = self.transcribe(SPEECH)
        self.assertRegex(out, r"^\S.*\n$")
        self.assertEqual(err, "")
        several, _ = self.transcribe(SPEECH, AUDIO / "cards_001.flac")
        lines = several.splitlines()
        self.assertEqual(lines[0], "%s: %s" % (SPEECH, out.strip("\n")))
        self.assertTrue(lines[1].startswith(str(AUDIO / "cards_001.flac") + ": "))
        self.assertRegex(self.transcribe("-t", SPEECH)[0], r"^\[00:00:0\d\.\d{3} --> 00:00:0\d\.\d{3}\] \S")

    def test_json(self):
        out, _ = self.transcribe("-f", "json", SPEECH)
        one = json.loads(out)
        self.assertEqual(one["task"], "transcribe")
        self.assertIsNone(one["language"])
        self.assertAlmostEqual(one["duration"], 2.78625)
        self.assertEqual(one["file"], SPEECH)
        self.assertEqual(one["warnings"], [])
        self.assertEqual(one["model"]["name"], "mini")
        self.assertRegex(one["model"]["hash"], "^[0-9a-f]{64}$")
        self.assertEqual(one["text"], " ".join(w["word"] for w in one["words"]))
        self.assertEqual(set(one["tokens"][0]), {"id", "frame", "duration", "text", "confidence"})
        self.assertEqual([s["id"] for s in one["segments"]], list(range(len(one["segments"]))))
        for w in one["words"]:
            self.assertLessEqual(0, w["start"])
            self.assertLessEqual(w["start"], w["end"])
            self.assertTrue(0 <= w["confidence"] <= 1)
        several, _ = self.transcribe("-f", "json", SPEECH, AUDIO / "cards_001.flac")
        array = json.loads(several)
        self.assertEqual(array[0], one)
        self.assertEqual([a["file"] for a in array], [SPEECH, str(AUDIO / "cards_001.flac")])

    def test_subtitles(self):
        self.assertRegex(self.transcribe("-f", "srt", SPEECH)[0], r"^1\n00:00:0\d,\d{3} --> 00:00:0\d,\d{3}\n\S")
        self.assertRegex(self.transcribe("-f", "vtt", SPEECH)[0], r"^WEBVTT\n\n00:00:0\d\.\d{3} --> ")
        self.assertRegex(self.transcribe("-f", "tsv", SPEECH)[0], r"^start\tend\ttext\n\d+\t\d+\t\S")

    def test_bad_files_do_not_stop_the_others(self):
        bad, missing = self.root / "noise.wav", self.root / "none.wav"
        out, err = self.transcribe(bad, SPEECH, missing, self.root, AUDIO / "cards_001.flac", code=1)
        self.assertEqual([line.split(": ")[0] for line in out.splitlines()], [SPEECH, str(AUDIO / "cards_001.flac")])
        for name in ("noise.wav", "none.wav", str(self.root)):
            self.assertIn(name, err)
        out, _ = self.transcribe("-f", "json", bad, SPEECH, code=1)
        array = json.loads(out)
        self.assertIn("noise.wav", array[0]["error"])
        self.assertNotIn("error", array[1])
        self.assertEqual(self.transcribe("-f", "json", bad, code=1)[0], "")

    def test_damaged_file_is_used_with_a_warning(self):
        out, err = self.transcribe("-f", "json", self.root / "cut.wav", code=1)
        self.assertEqual(len(json.loads(out)["warnings"]), 1)
        self.assertIn("warning", err)
        self.assertIn("cut.wav", err)

    def test_channels(self):
        stereo = self.root / "stereo.wav"
        array = json.loads(self.transcribe("-f", "json", "--channel", "each", stereo)[0])
        self.assertEqual([a["channel"] for a in array], [1, 2])
        for i in (1, 2):
            one = json.loads(self.transcribe("-f", "json", "--channel", i, stereo)[0])
            self.assertEqual(one["tokens"], array[i - 1]["tokens"])
        self.assertNotIn("channel", json.loads(self.transcribe("-f", "json", stereo)[0]))
        self.transcribe("--channel", 3, stereo, code=1)

    def test_batches_change_nothing(self):
        files = sorted(map(str, AUDIO.glob("*.flac"))) + [str(self.root / "noise.wav")]
        one = self.transcribe("-f", "json", *files, code=1)[0]
        self.assertEqual(self.transcribe("-f", "json", "--batch", 4, *files, code=1)[0], one)

    def test_raw_from_a_pipe(self):
        with wave.open(str(self.root / "stereo.wav")) as w:
            pcm = w.readframes(w.getnframes())
        want = json.loads(self.transcribe("-f", "json", self.root / "stereo.wav")[0])
        out, _ = self.transcribe("-f", "json", "--raw", "s16le", "--rate", 8000, "--channels", 2, "-", input=pcm)
        got = json.loads(out)
        self.assertEqual(got["file"], "-")
        self.assertEqual(got["tokens"], want["tokens"])
        self.assertEqual(got["duration"], want["duration"])
        out, _ = self.transcribe("-f", "json", "-", input=(self.root / "stereo.wav").read_bytes())
        self.assertEqual(json.loads(out)["tokens"], want["tokens"])

    def test_empty_audio(self):
        """Nothing is no transcript in silence: text, JSON and the exit status say so, raw or not."""
        out, err = self.transcribe("-f", "json", "--raw", "s16le", "-", input=b"", code=1)
        one = json.loads(out)
        self.assertEqual((one["text"], one["duration"], len(one["warnings"])), ("", 0, 1))
        self.assertIn("empty", one["warnings"][0])
        self.assertIn("-: is empty", err)
        self.assertEqual(self.transcribe("--raw", "f32le", "-", input=b"", code=1)[0], "\n")
        with wave.open(str(self.root / "nothing.wav"), "wb") as w:
            w.setparams((1, 2, 16000, 0, "NONE", ""))
        self.assertIn("nothing.wav: is empty", self.transcribe(self.root / "nothing.wav", code=1)[1])
        self.assertIn("is empty", self.transcribe("/dev/null", code=1)[1])

    def test_odd_names(self):
        self.assertIn("''", self.transcribe("", code=1)[1])
        for name, shown in ((b"bad\xff.wav", "bad\ufffd.wav"), ("c1\u009b31m.wav".encode(), "c1?31m.wav"), (b"a\nb.wav", "a?b.wav")):
            _, err = self.transcribe(os.fsdecode(name), code=1)
            self.assertIn(shown, err)
            self.assertEqual(err.count("\n"), 1)

    def test_names_too_long_for_the_folder(self):
        for bytes_ in (243, 255):  # the transcript's own name fits a file system, that of its temporary file does not
            name = self.root / ("a" * (bytes_ - 4) + ".wav")
            name.write_bytes((self.root / "stereo.wav").read_bytes())
            folder = self.root / ("long%d" % bytes_)
            _, err = self.transcribe("-f", "json", "-o", folder, name, SPEECH, code=1)
            self.assertIn("too long", err)
            self.assertEqual(os.listdir(folder), ["goforward.json"])

    def test_settings_that_contradict(self):
        out, err = self.transcribe("--engine", "cpu:int8@threads=2,isa=c", "--threads", 1, "--isa", "avx2", "--precision", "f32", SPEECH)
        self.assertEqual(len(err.splitlines()), 3)
        for option in ("--threads 1", "--isa avx2", "--precision f32"):
            self.assertIn(option + " is not used", err)
        self.assertEqual(self.transcribe("--engine", "cpu@threads=1", "--threads", 1, SPEECH)[1], "")
        for device in (["--device", 1], ["--engine", "cpu@device=1"], ["--engine", "cpu@library=x"]):
            self.assertIn("takes no", self.transcribe(*device, SPEECH, code=3)[1])
        err = self.transcribe("--device", 1, "--engine", "cpu@device=2", SPEECH, code=3)[1]
        self.assertIn("--device 1 is not used: --engine says device=2", err)
        self.assertIn("wins over", re.sub(r"\s+", " ", self.conure("transcribe", "--help")[0]))

    def test_not_a_number(self):
        _, err = self.transcribe("--raw", "f32le", "-", input=struct.pack("<100f", *([0.0] * 99 + [float("nan")])), code=1)
        self.assertIn("99", err)

    def test_output_folder(self):
        folder = self.root / "out/deep"
        out, _ = self.transcribe("-f", "srt", "-o", folder, SPEECH, AUDIO / "cards_001.flac")
        self.assertEqual(out, "")
        self.assertEqual(sorted(os.listdir(folder)), ["cards_001.srt", "goforward.srt"])
        self.assertEqual((folder / "goforward.srt").read_text(), self.transcribe("-f", "srt", SPEECH)[0])
        self.transcribe("-f", "json", "-o", folder, "--channel", "each", self.root / "stereo.wav")
        self.assertEqual(json.loads((folder / "stereo.ch2.json").read_text())["channel"], 2)

    def test_output_collisions(self):
        other = self.root / "other"
        other.mkdir(exist_ok=True)
        (other / "goforward.wav").write_bytes(b"")
        _, err = self.transcribe("-o", self.root / "collide", SPEECH, other / "goforward.wav", code=2)
        self.assertIn("goforward.flac", err)
        self.assertIn("goforward.wav", err)
        self.assertFalse((self.root / "collide").exists())

    def test_inputs_are_not_overwritten(self):
        folder = self.root / "inputs"
        folder.mkdir()
        whole = (self.root / "stereo.wav").read_bytes()
        for name in ("x.json", "y.ch2.json"):
            (folder / name).write_bytes(whole)
        os.symlink(folder / "x.json", folder / "link.json")
        os.symlink(self.root / "stereo.wav", folder / "y.wav")
        (self.root / "link.wav").write_bytes(whole)
        for arguments, names in ((["x.json"], ("x.json",)), (["y.wav", "y.ch2.json", "--channel", "each"], ("y.wav", "y.ch2.json")),
                                 ([self.root / "link.wav", "x.json"], ("link.wav", "x.json"))):
            _, err = self.transcribe("-f", "json", "-o", ".", *arguments, cwd=folder, code=2)
            for name in names:
                self.assertIn(name, err)
        with open(folder / "x.json", "rb") as stdin:
            os.link(folder / "x.json", folder / "stdin.json")
            self.assertIn("standard input", self.transcribe("-f", "json", "-o", folder, "-", stdin=stdin, code=2)[1])
        for name in ("x.json", "y.ch2.json"):
            self.assertEqual((folder / name).read_bytes(), whole)

    def test_output_folder_not_writable(self):
        (self.root / "plain").write_bytes(b"")
        _, err = self.transcribe("-o", self.root / "plain", SPEECH, code=3)
        self.assertIn("plain", err)

    def test_standard_output_that_fails(self):
        with open("/dev/full", "wb") as full:
            run = subprocess.run([CONURE, "transcribe", "-m", self.model, SPEECH], stdout=full, stderr=subprocess.PIPE, env=ENVIRONMENT)
        self.assertEqual(run.returncode, 3)
        self.assertIn(b"No space left", run.stderr)
        for arguments in (["transcribe", "-m", self.model, SPEECH], ["--help"], ["completion", "bash"]):
            read, write = os.pipe()
            os.close(read)
            run = subprocess.run([CONURE, *arguments], stdout=write, stderr=subprocess.PIPE, env=ENVIRONMENT)
            os.close(write)
            self.assertEqual(run.returncode, 3, arguments)
            self.assertEqual(run.stderr.count(b"standard output"), 1)

    def test_too_long_for_the_memory(self):
        pcm = b"\0\0" * (16000 * 600)
        _, err = self.transcribe("--raw", "s16le", "--memory", "32M", "-", input=pcm)
        self.assertRegex(err, r"longer than the \d.* in windows of \d")  # long.py has more
        out, err = self.transcribe("--memory", "1M", "-m", pathlib.Path(CONURE).parent / "models/embedded.conure", SPEECH, code=1)
        self.assertRegex(err, r"not even one second .* takes \d+\.\d MiB; raise --memory")

    def test_cannot_run(self):
        for arguments, text in ((["--isa", "nonsense"], "nonsense"), (["--engine", "nonsense"], "nonsense"),
                                (["-m", str(self.root / "none")], "none"), (["-m", str(self.root / "noise.wav")], "noise.wav"),
                                (["-m", "parakeet-tdt-0.6b-v3"], "conure pull")):
            _, err = self.transcribe(*arguments, SPEECH, code=3)
            self.assertIn(text, err)

    def test_where_the_model_is_named(self):
        want = self.transcribe(SPEECH)[0]
        self.assertEqual(self.transcribe("--threads", 1, SPEECH)[0], want)
        self.assertEqual(self.conure("transcribe", SPEECH, environment={"CONURE_MODEL": self.model})[0], want)
        self.assertEqual(self.conure("transcribe", "-m", self.model, SPEECH, environment={"CONURE_MODEL": "/none"})[0], want)

    def test_model_named_by_the_environment_is_not_there(self):
        _, err = self.conure("transcribe", SPEECH, environment={"CONURE_MODEL": "/none"}, code=3)
        self.assertIn("CONURE_MODEL", err)


class Terminal(Case):
    """What is different on a terminal."""

    def on_terminal(self, *arguments, environment=None):
        try:
            main, side = pty.openpty()
        except OSError as error:
            self.skipTest(f"no pseudo-terminal here: {error}")
        process = subprocess.Popen([CONURE, *map(str, arguments)], stdout=subprocess.PIPE, stderr=side,
                                   env={**ENVIRONMENT, "TERM": "xterm", **(environment or {})})
        os.close(side)
        out, seen = process.communicate(timeout=120)[0], b""
        while True:
            try:
                piece = os.read(main, 4096)
            except OSError:
                break
            if not piece:
                break
            seen += piece
        os.close(main)
        return process.returncode, out, seen

    def long_pcm(self):
        """Two minutes: enough for the progress line to change, at ten times a second."""
        path = self.root / "long.pcm"
        path.write_bytes(bytes(2 * 16000 * 120))
        return path

    def test_progress_and_summary(self):
        code, out, seen = self.on_terminal("transcribe", "-m", self.model, SPEECH, SPEECH)
        self.assertEqual(code, 0)
        self.assertIn(b"loading the model", seen)
        self.assertIn(b"2 of 2 files", seen)
        _, _, seen = self.on_terminal("transcribe", "-m", self.model, "--isa", "c", "--threads", 1, "--raw", "s16le", self.long_pcm())
        self.assertRegex(seen, rb"transcribing long\.pcm \d+ %")
        for state in (b"loading the model", b"transcribing long.pcm"):
            self.assertIn(state, seen)
        self.assertNotIn(b"\033", out)
        _, _, seen = self.on_terminal("transcribe", "-q", "-m", self.model, SPEECH, SPEECH)
        self.assertEqual(seen, b"")

    def test_colours(self):
        _, _, seen = self.on_terminal("transcribe", "-m", "/none", SPEECH)
        self.assertIn(b"\033[1;31m", seen)
        for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            _, _, seen = self.on_terminal("transcribe", "-m", "/none", SPEECH, environment=environment)
            self.assertNotIn(b"\033[1", seen)

    def test_names_cannot_drive_the_terminal(self):
        _, _, seen = self.on_terminal("transcribe", "-m", self.model, "evil\033]0;x\007.wav")
        self.assertNotIn(b"\033]0", seen)
        self.assertIn(b"evil?]0;x?.wav", seen)


class Interrupting(Case):
    def start(self, *arguments, command="transcribe", **options):
        return subprocess.Popen([CONURE, command, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=ENVIRONMENT, bufsize=0, **options)

    def interrupt(self, process):
        """Ctrl-C, once the process has said that it takes it: a slow machine starts programs slowly."""
        caught = 0
        while not caught >> (signal.SIGINT - 1) & 1:
            self.assertIsNone(process.poll())
            time.sleep(0.01)
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            caught = int(re.search(r"^SigCgt:\s*([0-9a-f]+)", status, re.M)[1], 16)
        process.send_signal(signal.SIGINT)

    def read_until(self, stream, text):
        seen = b""
        while text not in seen:
            piece = stream.readline()
            self.assertTrue(piece, seen)
            seen += piece
        return seen

    def send(self, process, content):
        """Write to its standard input, and wait until it has been read."""
        process.stdin.write(content)
        left = bytearray(4)
        while fcntl.ioctl(process.stdin, termios.FIONREAD, left) == 0 and any(left):
            time.sleep(0.01)

    def start_streaming(self, *arguments):
        """A process that has written the first file's JSON and now reads standard input, which does not end."""
        process = self.start("-m", self.model, "-f", "json", *arguments, SPEECH, "/dev/stdin", SPEECH, "--raw", "s16le")
        first = self.read_until(process.stdout, b"}")
        return process, first

    def finish(self, process):
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, err)
        return out, err.decode()

    def test_the_first_ends_the_input(self):
        with wave.open(str(self.root / "stereo.wav")) as w:
            pcm = w.readframes(w.getnframes())
        want = json.loads(self.transcribe("-f", "json", "--raw", "s16le", "-", input=pcm)[0])
        process, first = self.start_streaming()
        self.send(process, pcm)
        process.send_signal(signal.SIGINT)
        out, err = self.finish(process)
        array = json.loads(first + out)  # a whole document
        self.assertEqual([a["file"] for a in array], [SPEECH, "/dev/stdin"])
        self.assertEqual(array[1]["tokens"], want["tokens"])
        self.assertIn("1.5 s of audio", err)
        self.assertIn("Ctrl-C again stops at once", err)
        self.assertIn("interrupted: 2 of 3 files done", err)

    def test_wave_on_standard_input_ends_too(self):
        process = self.start("-m", self.model, "-")
        self.send(process, (self.root / "stereo.wav").read_bytes())
        process.send_signal(signal.SIGINT)
        out, err = self.finish(process)
        self.assertEqual(out.decode(), self.transcribe(self.root / "stereo.wav")[0])
        self.assertIn("interrupted: 1 of 1 files done", err)

    def test_the_second_stops(self):
        process = self.start("-m", self.model, "--isa", "c", "--threads", 1, "--raw", "s16le", "-f", "json", "-")
        self.send(process, bytes(2 * 16000 * 120))
        process.send_signal(signal.SIGINT)
        self.read_until(process.stderr, b"stops at once")
        process.send_signal(signal.SIGINT)
        out, err = self.finish(process)
        self.assertEqual(out, b"")
        self.assertIn("interrupted: 0 of 1 files done", err)

    def test_files_are_stopped_at_once(self):
        long = self.root / "long.pcm"
        long.write_bytes(bytes(2 * 16000 * 240))
        process = self.start("-m", self.model, "--isa", "c", "--threads", 1, "--raw", "s16le", long, long)
        self.interrupt(process)
        out, err = self.finish(process)
        self.assertEqual((out, err), (b"", "conure: interrupted: 0 of 2 files done\n"))

    def test_bench_and_wer_say_so(self):
        process = self.start("-m", self.model, "--runs", "100000", command="bench")
        self.interrupt(process)
        self.assertEqual(self.finish(process), (b"", "conure: interrupted\n"))
        process = self.start("/dev/stdin", "/dev/stdin", command="wer")
        self.interrupt(process)
        time.sleep(0.1)
        self.assertEqual(self.finish(process), (b"", "conure: interrupted\n"))

    def test_ignored_stays_ignored(self):
        process = self.start("-m", self.model, "--raw", "s16le", "-",
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        self.send(process, bytes(32000))
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.stdin.write(bytes(32000))
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, err), (0, b""))


class Models(Case):
    def test_info(self):
        out, _ = self.conure("model", "info", "--json", self.model)
        info = json.loads(out)
        self.assertEqual((info["name"], info["format"], info["weights"], info["layers"]), ("mini", "conure", "int8", 4))
        self.assertEqual(self.conure("model", "info", "--json", "-m", self.model)[0], out)
        self.conure("model", "info", "-m", self.model, self.model, code=2)
        text, _ = self.conure("model", "info", self.model)
        self.assertIn(info["hash"], text)

    def test_random_is_reproducible(self):
        again, other = self.root / "again.conure", self.root / "other.conure"
        self.conure("model", "random", "--preset", "mini", "-w", "int8", "-o", again)
        self.conure("model", "random", "--preset", "mini", "-w", "int8", "--seed", 2, "-o", other)
        same = pathlib.Path(self.model).read_bytes()
        self.assertEqual(again.read_bytes(), same)
        self.assertNotEqual(other.read_bytes(), same)
        _, err = self.conure("model", "random", "--preset", "nonsense", "-o", self.root / "x", code=2)
        self.assertIn("mini", err)

    def test_convert_and_verify(self):
        source = SOURCE / "tests/data/models/tiny-v3.nemo"
        for weights in ("f32", "f16", "bf16", "int8"):
            out = self.root / ("tiny-%s.conure" % weights)
            self.conure("model", "convert", source, "-w", weights, "-o", out)
            self.assertEqual(self.conure("model", "verify", out)[0], "good\n")
            self.assertEqual(json.loads(self.conure("model", "info", "--json", out)[0])["weights"], weights)
        damaged = bytearray((self.root / "tiny-f32.conure").read_bytes())
        damaged[len(damaged) * 3 // 4] ^= 0x40
        (self.root / "damaged.conure").write_bytes(damaged)
        _, err = self.conure("model", "verify", self.root / "damaged.conure", code=1)
        self.assertIn("damaged", err)
        _, err = self.conure("model", "convert", source, "-o", self.root / "no/such/folder.conure", code=3)
        self.assertIn("folder", err)

    def test_not_a_model(self):
        for command in ("info", "verify"):
            self.conure("model", command, self.root / "noise.wav", code=1)
            self.conure("model", command, self.root / "nothing-there", code=3)

    def test_bench(self):
        out, err = self.conure("bench", "-m", self.model, "--runs", 3, "--seconds", "1,2.5", "--frames", "100", "--json")
        report = json.loads(out)
        self.assertEqual([row["audio_s"] for row in report["audio_to_text"]], [1, 2.5])
        self.assertEqual(report["encoder"][0]["encoder_frames"], 13)
        for row in report["audio_to_text"] + report["encoder"]:
            self.assertLess(0, row["time"]["p50_s"])
            self.assertLessEqual(row["time"]["p50_s"], row["time"]["p95_s"])
        self.assertEqual(report["run"]["precision"], "int8")
        self.assertLess(0, report["first_result_s"])
        self.assertLess(1 << 20, report["peak_rss_bytes"])
        if report["peak"]:
            self.assertLess(0, report["peak"]["gop_per_s"])
            self.assertLess(0, report["encoder"][0]["share_of_peak"])
        text, _ = self.conure("bench", "-m", self.model, "--runs", 1, "--seconds", "1", "--frames", "0", SPEECH)
        self.assertIn("audio to text", text)
        self.conure("bench", "-m", self.model, self.root / "noise.wav", code=3)

    def with_broken_scales(self):
        """A converted model whose scales are not numbers: it opens, as opening does not read the weights."""
        content = bytearray(pathlib.Path(self.model).read_bytes())
        start = 8 + struct.unpack("<Q", content[:8])[0]
        for name, tensor in json.loads(content[8:start]).items():
            if name.endswith(".scales"):
                first, end = (start + at for at in tensor["data_offsets"])
                content[first:end] = struct.pack("<f", float("nan")) * ((end - first) // 4)
        path = self.root / "broken.conure"
        path.write_bytes(content)
        return path

    def test_doctor(self):
        report = json.loads(self.conure("doctor", "--json", "-m", self.model)[0])
        rows = {row["name"]: row for row in report}
        for name in ("program", "processor", "instructions", "threads", "memory", "libraries", "audio", "cache", "embedded", "model", "engine", "check"):
            self.assertIn(name, rows)
        self.assertEqual((rows["model"]["state"], rows["check"]["state"]), ("good", "good"))
        self.assertRegex(self.conure("doctor", "-m", self.with_broken_scales(), code=3)[0], r"(?m)^! check .* fails\n +\S")
        out, _ = self.conure("doctor", "-m", "/none", code=3)
        self.assertRegex(out, r"(?m)^! model +/none")
        out, _ = self.conure("doctor", "-m", self.model, environment={"XDG_CACHE_HOME": str(self.root / "noise.wav")})
        self.assertIn("not writable", out)
        if "onnxruntime" in rows and "not built" not in rows["onnxruntime"]["value"]:
            out, _ = self.conure("doctor", "-m", self.model, environment={"CONURE_ORT_LIBRARY": "/none/here"})
            self.assertRegex(out, r"(?m)^. onnxruntime +cannot be used\n +/none/here")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
