"""conure reference, parity and candidate as their users see them.  parity.py CONURE SOURCE_DIR"""

import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import unittest

CONURE, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
TINY, ALT = SOURCE / "tests/data/models/tiny-v3.nemo", SOURCE / "tests/data/models/tiny-alt.nemo"
CLIPS = [SOURCE / f"tests/data/audio/librispeech_{name}.flac" for name in ("e29030942b", "59aceb6ca6")]
EXAMPLE = SOURCE / "scripts/candidate_example.py"
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("CONURE_")}

# A candidate that goes wrong at its third chunk, in the way that its first argument says.
WRONG = f"""
import sys, time, os, signal
sys.path.insert(0, {str(EXAMPLE.parent)!r})
import candidate_example as example
how, path = sys.argv[1:]
chunks = example.frames(sys.stdin.buffer)
greeting, _ = next(chunks)
outputs = [t["name"] for t in greeting["contract"]["outputs"]]
known = list(example.lookup(path, outputs))
out = sys.stdout.buffer
example.answer(out, {{"candidate": how, "protocol": 2 if how == "protocol" else 1}})
for record, _ in chunks:
    n = record["chunk"]
    tensors, payload = known[n]
    reply = {{"chunk": n, "step": record["step"], "tensors": dict(tensors)}}
    if n == 2:
        if how == "hangs": time.sleep(60)
        if how == "exits": sys.exit(5)
        if how == "killed": os.kill(os.getpid(), signal.SIGKILL)
        if how == "short":
            example.answer(out, reply, payload[:-8]); sys.exit(0)
        if how == "cut":
            out.write(b"CREC" + bytes([9, 0, 0, 0] + [0] * 8) + b'{{"a"'); out.flush(); sys.exit(0)
        if how == "huge":
            out.write(b"CREC" + b"\\xff" * 12); out.flush(); time.sleep(60)
        if how == "text":
            print("loading the engine, please wait", flush=True); time.sleep(60)
        if how == "json":
            out.write(b"CREC" + bytes([3, 0, 0, 0] + [0] * 8) + b"{{]}}"); out.flush(); time.sleep(60)
        if how == "lacks":
            last = outputs[-1]; del reply["tensors"][last]; payload = payload[:-8]
        if how == "shape":
            reply["tensors"][outputs[0]] = {{"type": "f32", "shape": [1, 64, 2]}}
        if how == "other":
            reply["chunk"] = 7
        if how == "error":
            reply = {{"error": "out of device memory"}}; payload = b""
    example.answer(out, reply, payload)
"""


def conure(command, arguments, code=0, timeout=120):
    run = subprocess.run([CONURE, command, *map(str, arguments)], capture_output=True, timeout=timeout, env=ENVIRONMENT)
    assert run.returncode == code, (arguments, run.returncode, run.stdout.decode(), run.stderr.decode())
    return run.stdout.decode(), run.stderr.decode()


class Parity(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)
        cls.contract, cls.still = cls.root / "flows.json", cls.root / "still.json"
        conure("contract", ["derive", "-m", TINY, "--chunk", "8", "--shift", "1", "--cache", "64", "--schedule", "export", "--profiles", "121",
                            "-o", cls.contract])
        conure("contract", ["derive", "-m", TINY, "--chunk", "73", "--shift", "1", "--cache", "256", "--schedule", "export", "--profiles", "592",
                            "-o", cls.still])
        cls.reference, cls.frames = cls.root / "r.jsonl", cls.root / "r.frames"
        cls.made, _ = conure("reference", ["-m", TINY, "--contract", cls.contract, "--chunks", "8", "-o", cls.reference])
        conure("reference", ["-m", TINY, "--contract", cls.contract, "--chunks", "8", "--format", "frames", "-o", cls.frames])
        cls.wrong = cls.root / "wrong.py"
        cls.wrong.write_text(WRONG)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_makes_references(self):
        out, _ = conure("reference", ["--check", self.reference, self.frames])
        self.assertTrue(out.startswith(self.made.split()[0]), (out, self.made))  # the file's sum
        self.assertEqual(len(out.splitlines()), 2)
        lines = self.reference.read_text().splitlines()
        self.assertEqual(len(lines), 8 + 2)
        header = json.loads(lines[0])
        self.assertEqual((header["generator"], header["seed"], header["chunks"]), ("splitmix64-uniform-1", 42, 8))
        self.assertEqual(header["contract"], json.loads(self.contract.read_text()))
        # cut off in the middle of a line, and gone on with: the same bytes
        part = self.root / "again.jsonl.part"
        part.write_bytes(self.reference.read_bytes()[:400000])
        _, err = conure("reference", ["-m", TINY, "--contract", self.contract, "--chunks", "8", "-o", self.root / "again.jsonl", "--resume"])
        self.assertRegex(err, "going on after [1-7] chunks")
        self.assertEqual((self.root / "again.jsonl").read_bytes(), self.reference.read_bytes())
        self.assertFalse(part.exists())
        for arguments, said in ((["-o", "x"], "--contract"), (["--check"], "which FILE"),
                                (["-m", TINY, "--contract", self.contract, "--frames", "100", "-o", "x"], "no profile"),
                                (["-m", ALT, "--contract", self.contract, "-o", "x"], "tiny-v3")):
            self.assertIn(said, conure("reference", arguments, code=2)[1])

    def test_refuses_damage(self):
        whole, damaged = self.reference.read_bytes(), self.root / "damaged.jsonl"
        lines = whole.splitlines(keepends=True)
        cases = {
            "cut": (whole[:-500], "ends here"),
            "swapped": (b"".join(lines[:3] + [lines[4], lines[3]] + lines[5:]), "line 4"),
            "repeated": (b"".join(lines[:4] + lines[3:]), "line 5"),
            "edited": (whole.replace(b'"seed":42', b'"seed":41'), "line 1"),
            "no reference": (b"hello\n", "line 1"),
            "empty": (b"", "ends here"),
        }
        for name, (content, said) in cases.items():
            with self.subTest(name):
                damaged.write_bytes(content)
                self.assertIn(said, conure("reference", ["--check", damaged], code=2)[1])
                _, err = conure("parity", ["-m", TINY, "--candidate", "cpu:f32", "--reference", damaged], code=2)
                self.assertIn("damaged.jsonl", err)
        # what was judged before the damage is printed all the same
        damaged.write_bytes(cases["swapped"][0])
        out, _ = conure("parity", ["-m", TINY, "--candidate", "cpu:f32", "--reference", damaged, "--json"], code=2)
        summary = json.loads(out)
        self.assertEqual((summary["verdict"], summary["chunks"]), ("not_judged", 2))
        self.assertIn("line 4", summary["error"])
        # a model that is another
        _, err = conure("parity", ["-m", ALT, "--candidate", "cpu:f32", "--reference", self.reference], code=2)
        self.assertIn("nothing can be compared", err)

    def test_judges_engines(self):
        for mode in ("functional", "closed_loop"):
            for reference in (["--reference", self.reference], ["--reference", self.frames], ["--contract", self.contract, "--chunks", "8"]):
                out, _ = conure("parity", ["-m", TINY, "--candidate", "cpu:f32@threads=1,isa=c", "--mode", mode, *reference])
                self.assertTrue(out.startswith("pass\n"), out)
            summary, series = self.root / "s.json", self.root / "s.csv"
            out, _ = conure("parity", ["-m", TINY, "--candidate", "cpu:int8", "--mode", mode, "--reference", self.frames, "-o", summary,
                                       "--series", series], code=1)
            self.assertTrue(out.startswith("fail\n"), out)
            s = json.loads(summary.read_text())
            self.assertEqual((s["verdict"], s["mode"], s["chunks"]), ("fail", mode, 8))
            self.assertEqual(s["tolerances"]["entry"], "reduced precision")
            self.assertIn("int8", s["tolerances"]["why"])
            encoder = s["tensors"]["encoder_output"]
            self.assertEqual(encoder["count"], 8 * 64)
            self.assertEqual(encoder["first_bad"]["chunk"], 0)
            self.assertTrue(0 < encoder["p50"] <= encoder["p95"] <= encoder["p99"] <= encoder["max"])
            self.assertEqual(len(series.read_text().splitlines()), 9)
            worst = max(float(line.split(",")[1]) for line in series.read_text().splitlines()[1:])
            self.assertAlmostEqual(worst, encoder["max"], places=6)
        loose = self.root / "loose.json"
        loose.write_text((SOURCE / "tolerances/note-2026-01.json").read_text().replace("1e-3", "1").replace("5e-3", "1"))
        conure("parity", ["-m", TINY, "--candidate", "cpu:int8", "--reference", self.frames, "--tolerances", loose])

    def test_no_state_flows(self):
        for mode in ("functional", "closed_loop"):
            out, _ = conure("parity", ["-m", TINY, "--candidate", "cpu:f32", "--contract", self.still, "--mode", mode, "--chunks", "4", "--json"], code=1)
            summary = json.loads(out)
            self.assertEqual(summary["verdict"], "not_proven")
            self.assertIn("not_proven: no state flows", summary["reasons"][0])
            self.assertEqual(summary["tolerances"]["entry"], "cache reset, f32")

    def test_bad_tolerances(self):
        table, bad = (SOURCE / "tolerances/note-2026-01.json").read_text(), self.root / "bad.json"
        for content, said in ((table.replace("1e-6", "NaN"), "not valid JSON"), (table.replace("1e-6", "-1"), "/entries/0/tensors/"),
                              (table[:300], "not valid JSON")):
            bad.write_text(content)
            _, err = conure("parity", ["-m", TINY, "--candidate", "cpu:f32", "--reference", self.frames, "--tolerances", bad], code=2)
            self.assertIn("bad.json", err)
            self.assertIn(said, err)

    def test_commands(self):
        engine = f"exec:{shlex.quote(CONURE)} candidate -m {shlex.quote(str(TINY))} --engine cpu:f32@isa=c"
        for mode in ("functional", "closed_loop"):
            out, _ = conure("parity", ["--reference", self.reference, "--candidate", engine, "--mode", mode])
            self.assertTrue(out.startswith("pass\n"), out)
        # one that answers from the file whatever the state is equal everywhere, and proves nothing
        replay = f"exec:{shlex.quote(sys.executable)} {shlex.quote(str(EXAMPLE))} {shlex.quote(str(self.reference))}"
        out, _ = conure("parity", ["--reference", self.frames, "--candidate", replay], code=1)
        self.assertIn("the cache does not reach the output", out)
        # the engine's own complaint comes through
        other = f"exec:{shlex.quote(CONURE)} candidate -m {shlex.quote(str(ALT))}"
        self.assertIn("the candidate says: ", conure("parity", ["--reference", self.reference, "--candidate", other], code=2)[1])

    def test_commands_that_fail(self):
        said = {
            "hangs": "did not answer within 1 s, after 2 answers", "exits": "exit status 5 after 2 answers", "killed": "signal 9",
            "short": "bytes are expected at byte", "cut": "answered short: 4 of 9 bytes", "huge": "a frame of 4294967295 bytes",
            "text": "expected \"CREC\"", "json": "not valid JSON", "lacks": "lacks cache_last_channel_len_out", "shape": "shape [1,64,2]",
            "other": "says chunk 7", "error": "the candidate says: out of device memory",
        }
        for how, text in said.items():
            with self.subTest(how):
                candidate = " ".join(map(shlex.quote, (sys.executable, str(self.wrong), how, str(self.reference))))
                out, err = conure("parity", ["--reference", self.frames, "--candidate", f"exec:exec {candidate}", "--timeout", "1" if how == "hangs" else "20", "--json"],
                                  code=2, timeout=60)
                self.assertIn(text, err)
                summary = json.loads(out)
                self.assertEqual((summary["verdict"], summary["chunks"]), ("not_judged", 2))  # partial results are kept
                self.assertIn(text, summary["error"])
        for command, text in (("exit 3", "exit status 3 after 0 answers"), ("no-such-command-here", "is there such a command?"),
                              (f"{shlex.quote(sys.executable)} {shlex.quote(str(self.wrong))} protocol {shlex.quote(str(self.reference))}", "greeting"),
                              ("cat >/dev/null; echo", "answered short")):
            _, err = conure("parity", ["--reference", self.frames, "--candidate", f"exec:{command}", "--timeout", "5"], code=2)
            self.assertIn(text if "cat" not in command else "did not answer", err)

    def test_audio(self):
        out, _ = conure("parity", ["--candidate", "cpu:f32@isa=c", "--mode", "audio", "--json", *CLIPS])
        summary = json.loads(out)
        self.assertEqual(summary["verdict"], "pass")
        self.assertEqual(summary["audio"]["same_clips"], 2)
        self.assertGreater(summary["audio"]["reference_tokens"], 10)
        self.assertIn("which files", conure("parity", ["--candidate", "cpu:f32", "--mode", "audio"], code=2)[1])
        self.assertIn("needs an engine", conure("parity", ["--candidate", "exec:true", "-m", TINY, "--mode", "audio", CLIPS[0]], code=2)[1])
        # features of real audio: as a reference and in lockstep
        speech = self.root / "speech.frames"
        out, _ = conure("reference", ["-m", TINY, "--contract", self.contract, "--format", "frames", "-o", speech, "--chunks", "9", *CLIPS])
        self.assertIn("9 chunks", out)
        conure("parity", ["-m", TINY, "--candidate", "cpu:f32@isa=c", "--mode", "closed_loop", "--reference", speech])
        conure("parity", ["-m", TINY, "--candidate", "cpu:f32@isa=c", "--mode", "closed_loop", "--contract", self.contract, "--chunks", "9", *CLIPS])

    def test_usage(self):
        self.assertIn("which --candidate", conure("parity", ["-m", TINY], code=2)[1])
        self.assertIn("--contract", conure("parity", ["-m", TINY, "--candidate", "cpu"], code=2)[1])
        self.assertIn("no audio beside", conure("parity", ["-m", TINY, "--candidate", "cpu", "--reference", self.frames, CLIPS[0]], code=2)[1])
        self.assertIn("nosuch", conure("parity", ["-m", TINY, "--candidate", "nosuch", "--reference", self.frames], code=2)[1])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
