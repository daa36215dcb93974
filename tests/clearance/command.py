#!/usr/bin/env python3
"""command.py CONURE TESTDATA TOLERANCES: `conure noise-floor` from a contract to a file of tolerances, what it refuses, and the tracked files."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

CONURE, DATA, TOLERANCES = sys.argv[1:4]
TINY, ALT = os.path.join(DATA, "models", "tiny-v3.nemo"), os.path.join(DATA, "models", "tiny-alt.nemo")


CLIPS = [os.path.join(DATA, "audio", f"librispeech_{name}.flac") for name in ("e29030942b", "59aceb6ca6")]
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("CONURE_")}
# As scripts/tolerances.sh has them.
MEASURED = {"tiny-v3": (["-m", TINY], ["--chunk", 8, "--shift", 1, "--cache", 64, "--schedule", "export", "--profiles", 121]),
            "embedded": ([], ["--chunk", 6, "--shift", 3, "--cache", 256])}


def conure(*arguments):
    done = subprocess.run([CONURE, *map(str, arguments)], capture_output=True, text=True, timeout=120, env=ENVIRONMENT)
    return done.returncode, done.stdout, done.stderr


class NoiseFloor(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.contract = os.path.join(cls.folder.name, "k.json")
        code, _, text = conure("contract", "derive", "-m", TINY, "--chunk", 6, "--shift", 3, "--cache", 64, "-o", cls.contract)
        assert code == 0, text

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def measure(self, *arguments):
        out = os.path.join(self.folder.name, "t.json")
        code, text, why = conure("noise-floor", self.contract, "-m", TINY, "--chunks", 4, "-o", out, *arguments)
        self.assertEqual(code, 0, why)
        self.assertIn("state flows", text)
        with open(out, encoding="utf-8") as file:
            return json.load(file)["entries"][0]

    def test_precisions(self):
        f32, int8 = self.measure(), self.measure("--candidate", "cpu:int8")
        double = self.measure("--factor", 8)
        self.assertEqual((f32["precision"], int8["precision"], f32["state"]), (["f32"], ["int8"], "flows"))
        for tensor in ("encoder_output", "cache_last_channel", "cache_last_time"):
            limit = f32["tensors"][tensor]["absolute_max"]
            self.assertTrue(0 < limit < 4e-5, limit)
            self.assertGreater(int8["tensors"][tensor]["absolute_max"], 100 * limit)
            self.assertAlmostEqual(double["tensors"][tensor]["absolute_max"] / limit, 2, 4)

    def test_audio(self):
        made_up, both = self.measure("--candidate", "cpu:int8"), self.measure("--candidate", "cpu:int8", *CLIPS)
        self.assertIn("4 chunks of made-up features (seed 42), model", made_up["source"])
        self.assertIn("(seed 42) and 2 audio files (features ", both["source"])
        for tensor in ("encoder_output", "cache_last_channel", "cache_last_time"):
            limits = both["tensors"][tensor]
            self.assertGreaterEqual(limits["absolute_max"], made_up["tensors"][tensor]["absolute_max"])
            self.assertTrue(0 < limits["absolute_p95"] < limits["absolute_max"], limits)
        self.assertNotEqual(both["tensors"], made_up["tensors"])

    def test_refused(self):
        for arguments, text in ((["-m", ALT], "model"), (["-m", TINY, "--candidate", "cpu:f64"], "not in f64"),
                                (["-m", TINY, "none.wav"], "none.wav"), (["-m", TINY, "--name", 'a"b'], "--name"), (["-m", TINY, "--candidate", "abacus"], "abacus")):
            code, out, why = conure("noise-floor", self.contract, "--chunks", 1, *arguments)
            self.assertEqual((code, out), (2, ""))
            self.assertIn(text, why)

    def test_tracked_files(self):
        """They are of the models of today, honest arithmetic passes by them, and float32's files refuse what is not float32."""
        found = {name.removesuffix(".json") for name in os.listdir(TOLERANCES)}
        self.assertEqual(found, {"note-2026-01"} | {f"{m}-{p}" for m in MEASURED for p in ("f32", "f16", "bf16", "int8")})
        if conure("model", "info")[0] != 0:
            self.skipTest("a build without the embedded model")
        for name, (model, streaming) in MEASURED.items():
            contract = os.path.join(self.folder.name, name)
            conure("contract", "derive", *model, *streaming, "-o", contract)
            sha256 = next(line.split()[1] for line in conure("model", "info", *model[1:])[1].splitlines() if line.startswith("hash"))
            for precision in ("f32", "f16", "bf16", "int8"):
                path = os.path.join(TOLERANCES, f"{name}-{precision}.json")
                with open(path, encoding="utf-8") as file:
                    self.assertIn(sha256[:12], file.read(), f"{path}: the model is another now, run scripts/tolerances.sh")
                common = ["--contract", contract, *model, "--engine", "ref:f64", "--chunks", 6, "--seed", 7, "--tolerances", path]
                if precision == "f16":  # only other runtimes have it: our float32 is far within, our int8 is not
                    self.assertEqual(conure("parity", "--candidate", "cpu:f32", "--precision", "f16", *common)[0], 0)
                    self.assertEqual(conure("parity", "--candidate", "cpu:int8", "--precision", "f16", *common)[0], 1)
                    continue
                code, text, why = conure("parity", "--candidate", f"cpu:{precision}", *common)
                self.assertEqual(code, 0, text + why)
                if precision == "f32":
                    for other in ("bf16", "int8"):
                        code, text, why = conure("parity", "--candidate", f"cpu:{other}", "--precision", "f32", *common)
                        self.assertEqual(code, 1, text + why)


unittest.main(argv=sys.argv[:1])
