"""conure export as a folder sees it: what is refused, replaced, left alone, and what is written of names and types.  export.py CONURE SOURCE_DIR"""

import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import wave

CONURE, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
TINY, ALT = (SOURCE / f"tests/data/models/{name}.nemo" for name in ("tiny-v3", "tiny-alt"))
SPEECH = SOURCE / "tests/data/audio/goforward.flac"
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("CONURE_")}


def conure(*arguments, code=0, limit=""):
    command = ["bash", "-c", f'{limit} exec "$0" "$@"', CONURE, *(a if isinstance(a, bytes) else str(a) for a in arguments)]
    run = subprocess.run(command, capture_output=True, timeout=120, env=ENVIRONMENT)
    assert run.returncode == code, (arguments, run.returncode, run.stderr.decode())
    return run.stderr.decode()


class Export(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)
        self.out = self.root / "out"

    def tearDown(self):
        self.folder.cleanup()

    def onnx(self, *arguments, out=None, model=TINY, **keywords):
        return conure("export", "onnx", "-m", model, "-o", out or self.out, *arguments, **keywords)

    def files(self):
        return {path.name: path.read_bytes() for path in self.out.iterdir()}

    def silence(self, samples, value=b"\0\0"):
        path = self.root / f"nil{samples}.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(value * samples)
        return path

    def test_what_is_there(self):
        """Weights beside a graph count; what fails leaves all as it was; old weights go with their graph, others stay."""
        self.out.mkdir()
        data = self.out / "encoder-model.onnx.data"
        data.write_text("precious")
        self.assertIn(f"{data} is there already", self.onnx("--graphs", "encoder", code=2))
        self.assertEqual(self.files(), {data.name: b"precious"})
        large = ("--force", "--graphs", "encoder,decoder", "--external", "always")
        self.onnx(*large)
        before = self.files()
        self.assertIn("file size limit", self.onnx(*large, model=ALT, code=3, limit="ulimit -f 200; trap '' XFSZ;"))
        self.assertEqual(self.files(), before)
        (self.out / "other.onnx.data").write_text("of someone else")
        self.onnx(*large[:3], model=ALT)
        self.assertEqual([n for n in self.files() if n.endswith((".data", ".tmp"))], ["other.onnx.data"])

    def test_a_refused_export_makes_no_folder(self):
        refused = ("--precision", "int8")
        self.onnx(*refused, out=f"{self.out}/a/b/", code=2)
        self.assertFalse(self.out.exists())
        self.out.mkdir()
        for out in (self.out / "a" / "b", self.out):
            self.onnx(*refused, out=out, code=2)
            self.assertEqual(self.files(), {})

    def test_no_speech(self):
        for samples in (0, 10, 32000):
            nil = self.silence(samples)
            self.assertIn(nil.name, self.onnx("--precision", "f16", SPEECH, nil, code=2))
            self.assertIn(nil.name, conure("export", "ranges", "-m", TINY, "-o", self.out, nil, code=2))
        self.assertIn("30 frames", self.onnx("--precision", "int8", self.silence(2400, b"\0\1\0\2"), code=1))
        self.assertFalse(self.out.exists())

    def test_ranges_that_say_nothing(self):
        path = self.root / "r.json"
        conure("export", "ranges", "-m", TINY, "-o", path, SPEECH)
        good, real = path.read_text(), r'": [-\d.e]+\.[-\d.e]+'
        for what, value, words in ((real, '": 0', "value is 0.*conure export ranges"), (real, '": 1e16', "is 1e.16.*conure export ranges"),
                                   (real, '": 1e-16', "is 1e-16"), (r'frames": \d+', 'frames": 3', "3 frames of 10 ms")):
            path.write_text(re.sub(what, value, good))
            self.assertRegex(self.onnx("--precision", "int8", "--ranges", path, code=1), words)

    def test_precisions_that_look_at_no_speech(self):
        self.assertIn("bf16 needs none", self.onnx("--precision", "bf16", SPEECH, code=2))
        self.assertIn("none in bfloat16 before opset 22", self.onnx("--precision", "bf16"))

    def test_contract_has_the_graphs_types(self):
        contract = self.root / "k.json"
        for precision, kind, narrow in (("f16", "float16", "caches"), ("f16", "float16", "io"), ("bf16", "bfloat16", "caches"), ("int8", "int8", "caches")):
            conure("contract", "derive", "-m", TINY, "--schedule", "export", "--cache", 24, "--profiles", 121, "--precision", precision, "-o", contract)
            self.onnx("--contract", contract, "--graphs", "streaming", "--precision", precision, f"--{narrow}", "narrow", "--force",
                      *([SPEECH] if precision != "bf16" else []))
            tree = json.loads((self.out / "encoder_streaming.contract.json").read_text())
            for t in tree["inputs"] + tree["outputs"]:
                of = "io" if t["role"] in ("features", "encoder") else "caches"
                self.assertEqual(t["dtype"], "int64" if "length" in t["role"] else kind if of == narrow else "float32", t)
            conure("contract", "show", self.out / "encoder_streaming.contract.json")
            graph = (self.out / tree["files"][0]["name"]).read_bytes()
            self.assertEqual(hashlib.sha256(graph).hexdigest(), tree["files"][0]["sha256"])
            self.assertTrue(f'"dtype": "{kind}"'.encode() in graph)

    def test_names_that_are_no_utf8(self):
        model, path = os.fsencode(self.root) + b"/t\xffn\xc3\xa9.nemo", self.root / "named.json"
        os.symlink(TINY, model)
        self.onnx("--graphs", "decoder", model=model)
        self.assertTrue("t\ufffdn\u00e9".encode() in (self.out / "decoder_joint-model.onnx").read_bytes())
        for command in (("export", "ranges", "--force", SPEECH), ("contract", "derive", "--cache", 24, "--chunk", 6)):
            conure(*command, "-m", model, "-o", path)
            self.assertIn("t\ufffdn\u00e9", path.read_text(encoding="utf-8"))

    def test_sherpa_onnx_finds_no_weights_beside_a_graph(self):
        for options, warns in ((("sherpa-onnx", "--external", "always"), True), (("sherpa-onnx",), False), (("onnx-asr", "--external", "always"), False)):
            self.assertEqual("which sherpa-onnx does not find" in self.onnx("--force", "--layout", *options), warns, options)


if __name__ == "__main__":
    sys.argv[1:] = []
    unittest.main(verbosity=1)
