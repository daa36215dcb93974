"""conure contract as its users see it: exit codes, outputs, messages.  contract.py CONURE SOURCE_DIR"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

CONURE, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
SHIPPED = SOURCE / "contracts/encoder_streaming.contract.json"
TINY, ALT = SOURCE / "tests/data/models/tiny-v3.nemo", SOURCE / "tests/data/models/tiny-alt.nemo"
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("CONURE_")}
PUBLISHED = ["--preset", "parakeet-tdt-0.6b-v3", "--cache", "256", "--schedule", "export", "--profiles",
             "first=592,later=584,unified=584..592", "--layout", "layer-first"]


def conure(arguments, code=0):
    run = subprocess.run([CONURE, "contract", *map(str, arguments)], capture_output=True, timeout=120, env=ENVIRONMENT)
    assert run.returncode == code, (arguments, run.returncode, run.stderr.decode())
    return run.stdout.decode(), run.stderr.decode()


class Contract(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)
        cls.tiny = cls.root / "tiny.json"
        conure(["derive", "-m", TINY, "--chunk", "8", "--shift", "1", "--cache", "64", "--profiles", "121", "--batch-max", "2", "-o", cls.tiny])

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_derives_the_shipped_one(self):
        out, err = conure(["derive", *PUBLISHED])
        self.assertEqual(out, SHIPPED.read_text())
        self.assertEqual(err, "")
        _, err = conure(["derive", *PUBLISHED, "-o", self.root / "again.json"])
        self.assertEqual((self.root / "again.json").read_bytes(), SHIPPED.read_bytes())
        self.assertIn("no state flows", err)

    def test_shows(self):
        out, _ = conure(["show", SHIPPED])
        for text in ("[24, B, 256, 1024]", "unified", "584..592", "no row is ever kept", "f32", "encoded_lengths"):
            self.assertIn(text, out)
        out, _ = conure(["show", self.tiny, "--json", "--steps", "11"])
        shown = json.loads(out)
        self.assertTrue(shown["state_flows"])
        self.assertEqual(shown["contract"], json.loads(self.tiny.read_text()))
        # the first step of NeMo's schedule drops nothing in front: 16 rows, 9 of them kept; then 14 and 7, to saturation
        self.assertEqual(shown["forecast"][0]["longest"]["lengths"], [9, 16, 23, 30, 37, 44, 51, 58, 64, 64, 64])
        schema = json.loads(conure(["show", "--schema"])[0])
        self.assertEqual(schema, json.loads((SOURCE / "contracts/encoder_streaming.schema.json").read_text()))

    def test_checks_files(self):
        out, _ = conure(["check", SHIPPED])
        self.assertTrue(out.startswith("valid: a contract for parakeet-tdt-0.6b-v3"))
        self.assertTrue(json.loads(conure(["check", SHIPPED, "--json"])[0])["valid"])
        edited = self.root / "edited.json"
        edited.write_text(SHIPPED.read_text().replace('"cache_rows": 256', '"cache_rows": 128'))
        for command in ("check", "show"):
            _, err = conure([command, edited], code=1)
            self.assertIn("edited.json: /inputs/2/shape/2 is 256, but the rest of the contract implies 128", err)
        (self.root / "cut.json").write_text(SHIPPED.read_text()[:500])
        self.assertIn("not valid JSON", conure(["check", self.root / "cut.json"], code=1)[1])
        self.assertIn("absent.json", conure(["check", self.root / "absent.json"], code=2)[1])

    def test_checks_engines(self):
        out, _ = conure(["check", self.tiny, "-m", TINY, "--steps", "5"])
        self.assertTrue(out.startswith("holds\n"), out)
        report = json.loads(conure(["check", self.tiny, "-m", TINY, "--engine", "cpu:f32@threads=1,isa=c", "--json"])[0])
        self.assertTrue(report["holds"] and report["state_flows"])
        self.assertTrue(all(c["checked"] > 0 and c["violated"] == 0 for c in report["checks"]), report)
        # NeMo's rule keeps -1 rows of 584 frames: each such step is a violation, and the report is complete
        negative = self.root / "negative.json"
        conure(["derive", "-m", TINY, "--chunk", "73", "--shift", "1", "--cache", "256", "--schedule", "export", "--profiles", "584",
                "--negative-keep", "nemo", "-o", negative])
        out, _ = conure(["check", negative, "-m", TINY], code=1)
        self.assertTrue(out.startswith("BROKEN\n"), out)
        self.assertIn("rows kept[0] is -1, expected 0", out)
        self.assertFalse(json.loads(conure(["check", negative, "-m", TINY, "--json"], code=1)[0])["holds"])

    def test_refuses(self):
        _, err = conure(["check", self.tiny, "-m", ALT], code=1)
        self.assertIn("the contract is about tiny-v3", err)
        self.assertIn("for precision f32", conure(["check", self.tiny, "-m", TINY, "--engine", "cpu:int8"], code=1)[1])
        self.assertIn("not in this build", conure(["check", self.tiny, "-m", TINY, "--engine", "abacus"], code=2)[1])
        self.assertIn("nowhere", conure(["check", self.tiny, "-m", self.root / "nowhere.nemo"], code=2)[1])
        for arguments, text in (
            ([], "Usage: conure contract"), (["derve"], "did you mean 'conure contract derive'"), (["show"], "--schema"), (["check"], "missing argument"),
            (["derive", "-m", TINY], "name the rows of the cache"), (["derive", "-m", TINY, "--preset", "mini"], "exclude each other"),
            (["derive", "--preset", "maxi"], "preset 'maxi'"), (["derive", *PUBLISHED, "--profiles", "592..584"], "profile '592..584'"),
            (["derive", *PUBLISHED, "--mask", "soft"], "nemo, exact"), (["derive", "-m", TINY, "--cache", "64", "--pad-side", "right"], "pad_side"),
            (["derive", *PUBLISHED, "--file", self.root / "absent.onnx"], "absent.onnx"), (["check", SHIPPED, "--steps", "0"], "--steps"),
            (["derive", *PUBLISHED, "-o", self.root / "no" / "where.json"], "where.json"),
        ):
            out, err = conure(arguments, code=2)
            self.assertIn(text, out + err, arguments)

    def test_names_files_and_weights(self):
        graph = self.root / "encoder.onnx"
        graph.write_bytes(b"abc")
        text = json.loads(conure(["derive", "-m", TINY, "--chunk", "6", "--shift", "3", "--cache", "64", "--file", graph])[0])
        self.assertEqual(text["files"], [{"name": "encoder.onnx", "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}])
        self.assertEqual(len(text["model"]["sha256"]), 64)
        text = json.loads(conure(["derive", "-m", TINY, "--chunk", "6", "--shift", "3", "--cache", "64", "--any-weights", "--precision", "int8"])[0])
        self.assertIsNone(text["model"]["sha256"])
        self.assertEqual(text["precision"], {"tf32": False, "f16": False, "bf16": False, "int8": True})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
