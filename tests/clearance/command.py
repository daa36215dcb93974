#!/usr/bin/env python3
"""command.py CONURE TESTDATA: `conure noise-floor` from a contract to a file of tolerances, and what it refuses."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

CONURE, DATA = sys.argv[1], sys.argv[2]
TINY, ALT = os.path.join(DATA, "models", "tiny-v3.nemo"), os.path.join(DATA, "models", "tiny-alt.nemo")


def conure(*arguments):
    done = subprocess.run([CONURE, *map(str, arguments)], capture_output=True, text=True, timeout=120)
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

    def test_refused(self):
        for arguments, text in ((["-m", ALT], "model"), (["-m", TINY, "--candidate", "cpu:f64"], "not in f64"),
                                (["-m", TINY, "--name", 'a"b'], "--name"), (["-m", TINY, "--candidate", "abacus"], "abacus")):
            code, out, why = conure("noise-floor", self.contract, "--chunks", 1, *arguments)
            self.assertEqual((code, out), (2, ""))
            self.assertIn(text, why)


unittest.main(argv=sys.argv[:1])
