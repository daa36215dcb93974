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


def conure(*arguments, code=0):
    run = subprocess.run([CONURE, *map(os.fspath, map(lambda a: a if isinstance(a, (bytes, os.PathLike)) else str(a), arguments))],
                         capture_output=True, timeout=120, env=ENVIRONMENT)
    assert run.returncode == code, (arguments, run.returncode, run.stderr.decode())
    return run.stderr.decode()


def onnx(*arguments, code=0, model=TINY):
    return conure("export", "onnx", "-m", model, *arguments, code=code)


class Export(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)
        self.out = self.root / "out"

    def tearDown(self):
        self.folder.cleanup()

    def files(self):
        return {path.name: path.read_bytes() for path in self.out.iterdir()}

    def silence(self, samples):
        path = self.root / f"nil{samples}.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(bytes(2 * samples))
        return path

    def test_weights_beside_a_graph_are_a_file_that_is_there(self):
        self.out.mkdir()
        (self.out / "encoder-model.onnx.data").write_text("precious")
        for external in ("always", "auto"):
            err = onnx("--external", external, "--graphs", "encoder", "-o", self.out, code=2)
            self.assertIn("encoder-model.onnx.data is there already", err)
        self.assertEqual(self.files(), {"encoder-model.onnx.data": b"precious"})

    def test_a_forced_export_that_fails_leaves_the_folder(self):
        onnx("--external", "always", "-o", self.out)
        before = self.files()
        small = ["bash", "-c", f"ulimit -f 200; trap '' XFSZ; exec '{CONURE}' export onnx -m '{ALT}' --force --external always -o '{self.out}'"]
        run = subprocess.run(small, capture_output=True, timeout=120, env=ENVIRONMENT)
        self.assertEqual(run.returncode, 3, run.stderr)
        self.assertIn(b"file size limit", run.stderr)
        self.assertEqual(self.files(), before)

    def test_old_weights_go_with_their_graph(self):
        onnx("--external", "always", "--graphs", "encoder,decoder", "-o", self.out)
        self.assertIn("encoder-model.onnx.data", self.files())
        (self.out / "other.onnx.data").write_text("of someone else")
        onnx("--force", "--graphs", "encoder,decoder", "-o", self.out, model=ALT)
        names = set(self.files())
        self.assertEqual({n for n in names if n.endswith(".data")}, {"other.onnx.data"})
        self.assertFalse([n for n in names if n.endswith(".tmp")])

    def test_a_refused_export_makes_no_folder(self):
        deep = self.out / "a" / "b"
        onnx("--precision", "int8", "-o", deep, code=2)
        onnx("--graphs", "streaming", "-o", f"{deep}/", code=2)
        self.assertFalse(self.out.exists())
        self.out.mkdir()
        onnx("--precision", "int8", "-o", deep, code=2)
        self.assertEqual(list(self.out.iterdir()), [])
        onnx("--precision", "int8", "-o", self.out, code=2)
        self.assertTrue(self.out.exists())

    def test_no_speech(self):
        for samples in (0, 10):
            nil = self.silence(samples)
            for precision in ("int8", "f16"):
                self.assertIn(nil.name, onnx("--precision", precision, "-o", self.out, SPEECH, nil, code=2))
            self.assertIn(nil.name, conure("export", "ranges", "-m", TINY, "-o", self.root / "r.json", nil, code=2))
        self.assertIn("30 frames", onnx("--precision", "int8", "-o", self.out, self.silence(4800), code=1))
        self.assertFalse((self.root / "r.json").exists() or self.out.exists())

    def test_ranges_that_say_nothing(self):
        path = self.root / "r.json"
        conure("export", "ranges", "-m", TINY, "-o", path, SPEECH)
        good = path.read_text()
        for value, words in (("0", "the largest value is 0"), ("1e16", "is 1e+16"), ("1e-16", "is 1e-16")):
            path.write_text(re.sub(r'": [-\d.e]+\.[-\d.e]+', f'": {value}', good))
            self.assertRegex(onnx("--precision", "int8", "--ranges", path, "-o", self.out, code=1), f"{re.escape(words)}.*conure export ranges")
        path.write_text(re.sub(r'"mel_frames": \d+', '"mel_frames": 3', good))
        self.assertIn("3 frames of 10 ms", onnx("--precision", "int8", "--ranges", path, "-o", self.out, code=1))

    def test_precisions_that_look_at_no_speech(self):
        for precision in ("f32", "bf16"):
            self.assertIn(f"{precision} needs none", onnx("--precision", precision, "-o", self.out, SPEECH, code=2))
        err = onnx("--precision", "bf16", "--graphs", "encoder", "-o", self.out)
        self.assertIn("none in bfloat16 before opset 22", err)
        self.assertNotIn("float16 holds", err)

    def test_contract_has_the_graphs_types(self):
        contract = self.root / "k.json"
        for precision, kind, narrow in (("f16", "float16", "caches"), ("f16", "float16", "io"), ("bf16", "bfloat16", "caches"), ("int8", "int8", "caches")):
            conure("contract", "derive", "-m", TINY, "--schedule", "export", "--cache", 24, "--profiles", 121, "--precision", precision, "-o", contract)
            onnx("--contract", contract, "--graphs", "streaming", "--precision", precision, f"--{narrow}", "narrow", "-o", self.out, "--force",
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
        model = os.fsencode(self.root) + b"/t\xffn\xc3\xa9.nemo"
        os.symlink(TINY, model)
        onnx("--graphs", "decoder", "-o", self.out, model=model)
        graph = (self.out / "decoder_joint-model.onnx").read_bytes()
        self.assertTrue("t\ufffdn\u00e9".encode() in graph and b"\xffn\xc3\xa9" not in graph)
        for command in (("export", "ranges", SPEECH), ("contract", "derive", "--cache", 24, "--chunk", 6)):
            path = self.root / "named.json"
            conure(*command, "-m", model, "-o", path)
            tree = json.loads(path.read_text(encoding="utf-8"))
            path.unlink()
            self.assertEqual(tree["model"] if command[0] == "export" else tree["model"]["name"], "t\ufffdn\u00e9")

    def test_sherpa_onnx_finds_no_weights_beside_a_graph(self):
        words = "which sherpa-onnx does not find"
        self.assertIn(words, onnx("--layout", "sherpa-onnx", "--external", "always", "-o", self.out))
        self.assertNotIn(words, onnx("--layout", "sherpa-onnx", "--force", "-o", self.out))
        self.assertNotIn(words, onnx("--external", "always", "-o", self.root / "asr"))


if __name__ == "__main__":
    sys.argv[1:] = []
    unittest.main(verbosity=1)
