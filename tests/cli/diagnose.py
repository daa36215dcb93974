"""conure diagnose as its users see it.  diagnose.py CONURE SOURCE_DIR"""

import json
import pathlib
import shlex
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ET

CONURE, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
TINY = SOURCE / "tests/data/models/tiny-v3.nemo"
CLIP = SOURCE / "tests/data/audio/librispeech_e29030942b.flac"


def conure(command, *arguments, code=0):
    run = subprocess.run([CONURE, command, *map(str, arguments)], capture_output=True, timeout=120)
    assert run.returncode == code, (arguments, run.returncode, run.stdout.decode(), run.stderr.decode())
    return run.stdout.decode(), run.stderr.decode()


class Diagnose(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)
        cls.contract, cls.reference = cls.root / "k.json", cls.root / "r.jsonl"
        conure("contract", "derive", "-m", TINY, "--chunk", 8, "--shift", 1, "--cache", 64, "--schedule", "export", "--profiles", 121, "-o",
               cls.contract)
        conure("reference", "-m", TINY, "--contract", cls.contract, "--chunks", 6, "-o", cls.reference)
        cls.lockstep = ["-m", TINY, "--contract", cls.contract, "--candidate", "cpu:int8"]

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_text_json_and_plots(self):
        plots, out = self.root / "plots", self.root / "d.json"
        text, _ = conure("diagnose", *self.lockstep, "--plots", plots, "-o", out)
        for words in ("chunk 10, functional", "cache_last_time", "position", "sensitivity", "propagation", "reference, changed"):
            self.assertIn(words, text)
        made = json.loads(out.read_text())
        printed, _ = conure("diagnose", *self.lockstep, "--json")
        self.assertEqual(json.loads(printed), made)
        self.assertEqual((made["chunk"], made["cache_length"]["in"]), (10, 64))
        self.assertEqual(len(made["errors"]["cache_last_time"]["all"]["by"]["position"]["max"]), 4)
        self.assertEqual(made["propagation"]["chunks"], list(range(10, 31)))
        names = {p.stem for p in plots.iterdir()}
        self.assertLess({"errors_time", "sensitivity_candidate", "sensitivity_reference", "propagation_encoder"}, names)
        for path in plots.iterdir():
            self.assertEqual(ET.parse(path).getroot().get("role"), "img")

    def test_from_a_file_and_a_command(self):
        served = "exec:" + shlex.join([CONURE, "candidate", "-m", str(TINY), "--engine", "cpu:f32"])
        for who in (["-m", TINY, "--candidate", "cpu:f32"], ["--candidate", served]):
            made = json.loads(conure("diagnose", *who, "--reference", self.reference, "--chunk", 3, "--json")[0])
            self.assertEqual(made["errors"]["encoder_output"]["all"]["max"], 0)  # the engine that made the file
            self.assertIsNone(made["sensitivity"]["reference"])
            self.assertEqual(made["propagation"]["chunks"], [3, 4, 5])
            self.assertGreater(made["sensitivity"]["candidate"][3]["outputs"]["encoder_output"]["max"], 0)

    def test_audio_and_own_state(self):
        other = json.loads(conure("diagnose", *self.lockstep, "--chunk", 2, "--after", 3, "--json", CLIP)[0])
        made_up = json.loads(conure("diagnose", *self.lockstep, "--chunk", 2, "--after", 3, "--json")[0])
        closed = json.loads(conure("diagnose", *self.lockstep, "--chunk", 2, "--after", 3, "--json", "--mode", "closed_loop")[0])
        errors = [d["errors"]["encoder_output"]["all"]["max"] for d in (other, made_up, closed)]
        self.assertEqual(len(set(errors)), 3, errors)

    def test_refused(self):
        for arguments, words in ((self.lockstep[:4], "--candidate"), (["-m", TINY, "--candidate", "cpu:f32"], "--contract"),
                                 ([*self.lockstep, "--size", 0], "perturbation"), ([*self.lockstep, "--chunk", 5000, CLIP], "chunk 5000"),
                                 (["-m", TINY, "--candidate", "cpu:f32", "--reference", self.reference], "chunk 10 is not there"),
                                 ([*self.lockstep, "--plots", CLIP], "librispeech"),
                                 ([*self.lockstep, "--reference", self.reference, CLIP], "own features")):
            out, why = conure("diagnose", *arguments, code=2)
            self.assertIn(words, why)


unittest.main(argv=sys.argv[:1])
