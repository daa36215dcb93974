"""conure clear as its users see it: exit codes, the folder, --verify, --diff, --only, --resume, --redact, bad input.
clear.py CONURE SOURCE_DIR"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import wave

CONURE, SOURCE = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).absolute()
TINY = SOURCE / "tests/data/models/tiny-v3.nemo"
AUDIO = SOURCE / "tests/data/audio"
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("CONURE_")}
GATES = ("reference integrity provenance contract finite features functional batch confidence noise closed_loop flow audio latency "
         "self_test").split()


def run(*arguments, code=0, environment={}):
    done = subprocess.run([CONURE, *map(str, arguments)], capture_output=True, text=True, env=ENVIRONMENT | environment, timeout=250)
    if done.returncode != code:
        raise AssertionError(f"{arguments}: exit status {done.returncode}, expected {code}\n{done.stdout}{done.stderr}")
    return done


# An engine of ours behind a pipe that does one thing wrong: SPOIL KIND CONURE ENGINE.
SPOIL = f"""
import array, json, subprocess, struct, sys
sys.path.insert(0, {str(SOURCE / "scripts")!r})
from candidate_example import answer, frames
kind, command, *engine = sys.argv[1:]
honest = subprocess.Popen([command, "candidate", *engine], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
answers = frames(honest.stdout)
types = dict(f32="f", i64="q")
for record, tensors in frames(sys.stdin.buffer):
    answer(honest.stdin, record, b"".join(tensors.values()))
    reply, given = next(answers)
    out = {{name: array.array(types[reply["tensors"][name]["type"]], data) for name, data in given.items()}}
    if out:
        names, inputs = list(out), list(tensors.values())
        encoder, channel = out[names[0]], out[names[2]]
        shape = reply["tensors"][names[2]]["shape"]
        length = struct.unpack("<q", inputs[4])[0]
        if kind == "gain":
            for i in range(len(encoder)): encoder[i] *= 1.05
        if kind == "masked_nan" and struct.unpack("<q", given[names[4]])[0] < shape[2]:
            channel[0] = float("nan")
        if kind == "leaks" and length < shape[2] and any(array.array("f", inputs[2])[: shape[3]]):
            encoder[0] += 0.5
        if kind == "short_slices" and record["tensors"]["audio_signal"]["shape"][2] < 110:
            for i in range(len(encoder)): encoder[i] = 0
        if kind == "other_model":
            pass
    elif kind == "other_model":
        reply["model_sha256"] = "0" * 64
    answer(sys.stdout.buffer, reply, b"".join(a.tobytes() for a in out.values()))
"""


class Clear(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)
        run("contract", "derive", "-m", TINY, "--cache", 64, "--chunk", 8, "--shift", 1, "--schedule", "export", "--profiles", 121, "-o",
            cls.root / "k.json")
        run("contract", "derive", "--cache", 64, "--chunk", 8, "--shift", 1, "--schedule", "export", "--profiles", 121, "-o", cls.root / "speech.json")
        (cls.root / "said.tsv").write_text(f"file\ttext\n{AUDIO}/goforward.flac\tgo forward ten meters\n{AUDIO}/cards_001.flac\tten of clubs\n")
        cls.config = {"clearance": 1, "model": str(TINY), "candidate": "cpu:f32@isa=c", "contract": "k.json", "threads": 1,
                      "chunks": {"functional": 6, "closed_loop": 8, "noise": 2, "latency": 8, "self_test": 8},
                      "golden": [{"file": str(pathlib.Path(CONURE).parent / "tests/data/golden/tiny-v3.steps.safetensors"), "case": "export121"}],
                      "not_applicable": {"audio": "random weights say nothing"}}
        cls.write("tiny.json")
        cls.out = cls.root / "out"
        cls.done = run("clear", cls.root / "tiny.json", "-o", cls.out)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def write(cls, name, **changes):
        (cls.root / name).write_text(json.dumps(cls.config | changes))
        return cls.root / name

    def copy(self, name):
        shutil.copytree(self.out, self.root / name)
        return self.root / name

    def report(self, folder):
        return json.loads((folder / "report.json").read_text())

    def test_whole_suite(self):
        self.assertTrue(self.done.stdout.startswith("cleared\n"), self.done.stdout)
        report = self.report(self.out)
        self.assertEqual(report["verdict"], "cleared")
        self.assertEqual([g["gate"] for g in report["gates"]], GATES)
        verdicts = {g["gate"]: g["verdict"] for g in report["gates"]}
        self.assertEqual(verdicts.pop("audio"), "not_applicable")
        self.assertEqual(set(verdicts.values()), {"pass"}, verdicts)
        self.assertTrue(any("audio was not looked at" in r for r in report["risks"]), report["risks"])
        html = (self.out / "report.html").read_text()
        for needle in ("<svg", "cpu f32", report["stages"]["inputs"]["files"]["model"]["sha256"], "closed_loop"):
            self.assertIn(needle, html)
        self.assertIn("random weights say nothing", (self.out / "report.md").read_text())
        lines = (self.out / "series/closed_loop.csv").read_text().splitlines()
        self.assertEqual(len(lines), 1 + 8)
        for line in (self.out / "SHA256SUMS").read_text().splitlines():
            sha256, name = line.split("  ")
            self.assertEqual(hashlib.sha256((self.out / name).read_bytes()).hexdigest(), sha256)

    def test_verify(self):
        self.assertIn("as it was written", run("clear", "--verify", self.out).stdout)
        for number, (name, damage) in enumerate({
            "report.html": lambda p: p.write_text(p.read_text() + "<!-- -->"),
            "evidence/functional.json": lambda p: p.write_text(re.sub(r'"encoder_output": \[\s*[^,]*', '"encoder_output": [0.5', p.read_text())),
            "report.json": lambda p: p.write_text(p.read_text().replace('"cleared"', '"not_cleared"', 1)),
        }.items()):
            folder = self.copy(f"damaged{number}")
            damage(folder / name)
            out = run("clear", "--verify", folder, code=1).stdout
            self.assertIn(f"{name}: is not as it was written", out)
            self.assertEqual("its evidence gives another result" in out, name != "report.html", out)
        folder = self.copy("unlisted")
        sums = (folder / "SHA256SUMS").read_text().splitlines(keepends=True)
        (folder / "SHA256SUMS").write_text("".join(line for line in sums if "report.html" not in line))
        (folder / "report.html").write_text("Yes: cleared")
        out = run("clear", "--verify", folder, code=1).stdout
        self.assertIn("report.html: SHA256SUMS does not name it", out)
        self.assertIn("report.html: is not what the evidence gives", out)
        run("clear", "--verify", self.root, code=2)
        run("clear", "--verify", code=2)
        folder = self.copy("escapes")
        (folder / "SHA256SUMS").write_text("0" * 64 + "  ../k.json\n")
        self.assertIn("a line that is none", run("clear", "--verify", folder, code=1).stdout)

    def test_verify_says_what_changed_since(self):
        contract = self.root / "other.json"
        contract.write_text((self.root / "k.json").read_text())
        out = self.root / "changed"
        run("clear", self.write("changed.json", contract="other.json"), "-o", out, "--only", "contract", code=1)
        run("clear", "--verify", out, code=1)  # not proven, but as it was
        contract.write_text(contract.read_text() + "\n")
        self.assertIn("contract (", run("clear", "--verify", out, code=1).stdout)

    def test_diff(self):
        self.assertIn("verdict: cleared, cleared", run("clear", "--diff", self.out, self.out).stdout)
        other = self.root / "bf16"
        run("clear", self.write("bf16.json", candidate="cpu:bf16@isa=c"), "-o", other, "--only", "functional,closed_loop", code=1)
        out = run("clear", "--diff", self.out, other, code=1).stdout
        self.assertIn("verdict: cleared, not_cleared", out)
        self.assertRegex(out, r"functional +pass, fail")
        self.assertIn("encoder_output: largest error", out)

    def test_only_keeps_what_others_found(self):
        folder = self.copy("only")
        before = (folder / "evidence/noise.json").read_bytes()
        run("clear", self.root / "tiny.json", "-o", folder, "--only", "functional")
        self.assertEqual((folder / "evidence/noise.json").read_bytes(), before)
        self.assertEqual(self.report(folder)["verdict"], "cleared")
        out = run("clear", self.root / "tiny.json", "-o", folder, "--only", "functional,speed", code=2).stderr
        self.assertIn('there is no gate "speed"', out)

    def test_resume(self):
        out = self.root / "resumed"
        config = self.write("long.json", chunks=self.config["chunks"] | {"closed_loop": 100000})
        process = subprocess.Popen([CONURE, "clear", str(config), "-o", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env=ENVIRONMENT)
        deadline = time.time() + 200
        while not (out / "evidence/functional.json").exists() and time.time() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, err)
        self.assertIn("--resume goes on", err)
        self.assertFalse((out / "report.json").exists())
        stamp = (out / "evidence/functional.json").stat().st_mtime_ns
        # Another configuration rests on other things: nothing of it is taken.  The same one goes on with it.
        run("clear", self.root / "tiny.json", "-o", self.copy("again"), "--resume")
        key = json.loads((out / "evidence/functional.json").read_text())["key"]
        self.assertNotEqual(key, json.loads((self.out / "evidence/functional.json").read_text())["key"])
        self.assertEqual((out / "evidence/functional.json").stat().st_mtime_ns, stamp)

    def test_speech_and_redaction(self):
        out = self.root / "speech"
        tolerances = SOURCE / "tolerances/embedded-f32.json"
        run("clear", "--candidate", "cpu:f32", "--contract", self.root / "speech.json", "--manifest", self.root / "said.tsv", "--tolerances", tolerances,
            "-o", out, "--only", "audio,functional,integrity", "--redact", code=1)
        gates = {g["gate"]: g["verdict"] for g in self.report(out)["gates"]}
        self.assertEqual((gates["audio"], gates["functional"]), ("pass", "pass"))
        clips = self.report(out)["stages"]["audio"]["clips"]
        self.assertEqual([set(c) >= {"words", "offline", "live"} for c in clips], [True, True])
        for file in out.rglob("*"):
            if file.is_file():
                for secret in ("meters", "goforward", "clubs", "said.tsv"):
                    self.assertNotIn(secret, file.read_text(), file)

    def test_audio_that_cannot_be_judged(self):
        """Each reason comes with what to do about it."""
        with wave.open(str(self.root / "silence.wav"), "wb") as silence:
            silence.setparams((1, 2, 16000, 0, "NONE", ""))
            silence.writeframes(bytes(64000))
        # The first 40 recordings are read for their features before any stage runs; the next one is not.
        (self.root / "broken.wav").write_bytes(b"RIFF....WAVE and no more")
        (self.root / "broken.tsv").write_text("file\ttext\n" + f"{AUDIO}/cards_001.flac\tten of clubs\n" * 40 + "broken.wav\tnothing\n")
        for name, code, audio, why in (
                ("none", 1, None, ["no recordings were named, which --manifest FILE does"]),
                ("silence", 2, {"files": ["silence.wav"]}, ["name recordings in which this model hears words", "a manifest with texts decides"]),
                ("broken", 2, {"manifest": "broken.tsv", "live": "none"}, ["clip 41 could not be heard: ", "get the file again", "; or leave the clip out"])):
            with self.subTest(audio=name):
                config = {"clearance": 1, "candidate": "cpu:int8", "contract": "speech.json"} | ({"audio": audio} if audio else {})
                (self.root / f"{name}.json").write_text(json.dumps(config))
                run("clear", self.root / f"{name}.json", "-o", self.root / f"audio-{name}", "--only", "audio", code=code)
                gate = next(g for g in self.report(self.root / f"audio-{name}")["gates"] if g["gate"] == "audio")
                for text in why:
                    self.assertIn(text, json.dumps(gate))

    def test_engines_that_are_wrong_in_one_way(self):
        (self.root / "spoil.py").write_text(SPOIL)
        run("contract", "derive", "-m", TINY, "--cache", 64, "--chunk", 15, "--shift", 1, "--schedule", "export", "--profiles", "range=60..121", "-o",
            self.root / "range.json")
        int8 = {"precision": "int8", "tolerances": str(SOURCE / "tolerances/tiny-v3-int8.json")}
        for kind, engine, gates, changes in (
            ("gain", "cpu:int8", {"functional", "closed_loop"}, int8),
            ("masked_nan", "cpu:f32", {"finite", "functional", "noise", "closed_loop"}, {}),
            ("leaks", "cpu:f32", {"flow"}, {}),
            ("short_slices", "cpu:f32", {"functional"}, {"contract": "range.json"}),
            ("other_model", "cpu:f32", {"provenance"}, {}),
            ("nothing", "cpu:f32", set(), {"contract": "range.json"}),
        ):
            with self.subTest(kind=kind):
                words = f"exec:{sys.executable} {self.root}/spoil.py {kind} {CONURE} -m {TINY} --engine {engine}"
                config = self.write(f"{kind}.json", candidate=words, not_applicable={"audio": "not here"}, **changes)
                out = self.root / f"spoil-{kind}"
                run("clear", config, "-o", out, "--only", "finite,functional,closed_loop,flow,provenance,contract", code=1)
                failed = {g["gate"] for g in self.report(out)["gates"] if g["verdict"] == "fail"}
                self.assertEqual(failed, gates)

    def test_evidence_of_other_inputs_is_not_taken(self):
        for name in ("said.tsv", "clip.flac"):
            with self.subTest(changed=name):
                folder = self.root / f"inputs-{name}"
                folder.mkdir()
                shutil.copy(AUDIO / "cards_001.flac", folder / "clip.flac")
                (folder / "said.tsv").write_text("file\ttext\nclip.flac\tten of clubs\n")
                words = ["clear", "--candidate", "cpu:int8", "--contract", self.root / "speech.json", "--manifest", folder / "said.tsv", "-o", folder / "out"]
                run(*words, "--only", "audio", code=1)
                run("clear", "--verify", folder / "out", code=1)
                if name == "said.tsv":
                    (folder / name).write_text("file\ttext\nclip.flac\tsomething else was said\n")
                else:
                    shutil.copy(AUDIO / "cards_003.flac", folder / name)
                self.assertIn("has changed since", run("clear", "--verify", folder / "out", code=1).stdout)
                run(*words, "--only", "latency", code=1)
                gates = {g["gate"]: g["verdict"] for g in self.report(folder / "out")["gates"]}
                self.assertEqual(gates["audio"], "not_run")
                self.assertFalse((folder / "out/evidence/audio.json").exists())

    def test_redaction_leaves_nothing_of_a_run_before(self):
        words = ["clear", "--candidate", "cpu:int8", "--contract", self.root / "speech.json", "--manifest", self.root / "said.tsv", "-o", self.root / "both",
                 "--only", "audio"]
        run(*words, code=1)
        self.assertIn("meters", (self.root / "both/evidence/audio.json").read_text())
        run(*words[:-1], "latency", "--redact", code=1)
        for file in (self.root / "both").rglob("*"):
            if file.is_file():
                self.assertNotIn("meters", file.read_text(), file)

    def test_tolerances_of_another_model(self):
        out = self.root / "foreign"
        run("clear", self.write("foreign.json", tolerances=str(SOURCE / "tolerances/embedded-f32.json")), "-o", out, "--only", "provenance", code=1)
        gate = next(g for g in self.report(out)["gates"] if g["gate"] == "provenance")
        self.assertEqual(gate["verdict"], "fail")
        self.assertIn("the tolerances were measured with this model", " ".join(gate["why"]))

    def test_excuses_excuse_no_failure(self):
        typed = self.copy("excused")
        report = self.report(typed)
        report["config"]["not_applicable"]["functional"] = "because"
        report["stages"]["functional"]["assertions"]["bad_steps"] = 1
        (typed / "report.json").write_text(json.dumps(report))
        clip = AUDIO / "cards_001.flac"
        done = run("transcribe", "-m", TINY, "--engine", "cpu:f32@isa=c", "--clearance", typed, "--strict", clip, code=3)
        self.assertIn("its evidence says not_cleared", done.stderr)

    def test_what_runs_is_what_was_cleared(self):
        clip = AUDIO / "cards_001.flac"
        same = ["transcribe", "-m", TINY, "--engine", "cpu:f32@isa=c", "--clearance", self.out]
        self.assertNotIn("clearance", run(*same, "--strict", clip).stderr)
        self.assertNotIn("clearance", run("stream", *same[1:], "--strict", clip).stderr)
        other = ["transcribe", "-m", TINY, "--engine", "cpu:bf16", "--clearance", self.out]
        self.assertIn('it is about "cpu f32, mask nemo"', run(*other, clip).stderr)
        self.assertIn("does not hold here", run(*other, "--strict", clip, code=3).stderr)
        self.assertIn("it is about the weights", run("transcribe", "--clearance", self.out, clip).stderr)
        typed = self.copy("typed")
        text = (typed / "report.json").read_text()
        (typed / "report.json").write_text(text.replace('"bad_steps": 0', '"bad_steps": 1'))
        self.assertIn("its evidence says not_cleared", run(*same[:-1], typed, "--strict", clip, code=3).stderr)
        self.assertIn("cannot open", run(*same[:-1], self.root / "nowhere", clip, code=3).stderr)

    def test_self_test_prints_the_matrix(self):
        out = run("clear", self.root / "tiny.json", "-o", self.copy("trial"), "--self-test").stdout
        self.assertRegex(out, r"layers_swapped +\. \. .*X")
        self.assertRegex(out, r"(\d+) of \1 faults caught by their gate, 3 of 3 honest pairs pass")

    def test_the_embedded_model_by_its_name(self):
        config = self.write("embedded.json", model="embedded", contract="speech.json", golden=[])
        run("clear", config, "-o", self.root / "embedded_out", "--only", "provenance", environment={"CONURE_MODEL": str(TINY)}, code=1)
        inputs = self.report(self.root / "embedded_out")["stages"]["inputs"]
        self.assertEqual((inputs["files"]["model"]["path"], inputs["files"]["model"]["sha256"]),
                         ("embedded", json.loads((self.root / "speech.json").read_text())["model"]["sha256"]))

    def test_bad_input(self):
        said = {
            '{"candidates": "cpu"}': "candidates is no member",
            '{"chunks": {"functional": 0}}': "chunks.functional is not a whole number from 1",
            '{"not_applicable": {"flow": "no"}}': "only batch, confidence",
            '{"pins": {"model": "abc"}}': "pins.model is not a SHA-256",
            '{"clearance": 2}': "supported: 1",
            '[1': "line 1",
            '{"audio": 3}': "audio is not an object",
        }
        for text, needle in said.items():
            (self.root / "bad.json").write_text(text)
            self.assertIn(needle, run("clear", self.root / "bad.json", "-o", self.root / "bad", code=2).stderr)
        self.assertIn("which candidate", run("clear", "-o", self.root / "bad", code=2).stderr)
        self.assertIn("which contract", run("clear", "--candidate", "cpu", "-o", self.root / "bad", code=2).stderr)
        missing = run("clear", "--candidate", "gpu:f32", "--contract", self.root / "k.json", "-o", self.root / "none", code=2).stderr
        self.assertIn("is not in this build", missing)
        self.assertFalse((self.root / "none").exists())
        self.assertIn("where to?", run("clear", "--candidate", "cpu", code=2).stderr)
        # A contract of another model, a pin that does not hold: said by provenance.
        for changes, needle in (({"contract": "speech.json"}, "contract"), ({"pins": {"model": "0" * 64}}, "pinned")):
            out = self.root / f"wrong-{needle}"
            done = run("clear", self.write("wrong.json", **changes), "-o", out, "--only", "provenance", code=1 if needle == "pinned" else 1)
            gate = next(g for g in self.report(out)["gates"] if g["gate"] == "provenance")
            self.assertEqual(gate["verdict"], "fail", done.stdout)
            self.assertIn(needle, " ".join(gate["why"]))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
