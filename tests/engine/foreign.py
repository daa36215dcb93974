#!/usr/bin/env python3
"""foreign.py CONURE SOURCE files|run - folders of graphs that were exported for other programs, as models.

files: what is said of folders that are damaged, incomplete or something else; needs no ONNX Runtime.
run: transcripts of both layouts beside those of the checkpoint they were made of; 77 without ONNX Runtime.
The folders are those of `conure export onnx`; in "run" also ones whose names are as other exporters have them.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

CONURE, SOURCE, WHAT = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("CONURE_") or k == "CONURE_ORT_LIBRARY"}
MODEL = SOURCE / "tests/data/models/tiny-v3.nemo"
CLIPS = sorted(map(str, (SOURCE / "tests/data/audio").glob("*.flac")))


REFUSED = (1, 3)  # a bad file, and one that is fine but not possible here


def conure(*arguments, code=(0,)):
    done = subprocess.run([CONURE, *map(str, arguments)], env=ENVIRONMENT, capture_output=True, text=True, timeout=250)
    assert done.returncode in code, f"{arguments}: status {done.returncode}, expected {code}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


class Folders(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.room = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.room.name)
        for layout in ("onnx-asr", "sherpa-onnx"):
            (cls.root / layout).mkdir()
            conure("export", "onnx", "-m", MODEL, "--layout", layout, "-o", cls.root / layout)

    @classmethod
    def tearDownClass(cls):
        cls.room.cleanup()

    def copy(self, layout):
        folder = self.root / "changed"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.root / layout, folder)
        return folder


class Files(Folders):
    def refused(self, folder, *words):
        text = conure("model", "info", folder, code=REFUSED)
        for word in words:
            self.assertIn(word, text)

    def test_as_they_are(self):
        for layout in ("onnx-asr", "sherpa-onnx"):
            text = conure("model", "info", self.root / layout)
            self.assertRegex(text, r"format +graphs")
            self.assertRegex(text, r"128 mel bins")
        one, other = (json.loads(conure("model", "info", "--json", self.root / name))["hash"] for name in ("onnx-asr", "sherpa-onnx"))
        self.assertNotEqual(one, other)

    def test_missing(self):
        for layout, name in (("onnx-asr", "decoder_joint-model.onnx"), ("onnx-asr", "vocab.txt"), ("sherpa-onnx", "joiner.onnx"),
                             ("sherpa-onnx", "decoder.onnx"), ("sherpa-onnx", "tokens.txt")):
            folder = self.copy(layout)
            (folder / name).unlink()
            self.refused(folder, name.removesuffix(".onnx"))

    def test_cut_short(self):
        for name in ("encoder-model.onnx", "decoder_joint-model.onnx"):
            for keep in (0, 1, 100, -1, -1000):
                folder = self.copy("onnx-asr")
                data = (folder / name).read_bytes()
                (folder / name).write_bytes(data[:keep])
                self.refused(folder, name)

    def test_something_else(self):
        folder = self.copy("onnx-asr")
        (folder / "encoder-model.onnx").write_bytes(b"<html>not found</html>")
        self.refused(folder, "encoder-model.onnx")
        folder = self.copy("onnx-asr")  # the one for the other
        (folder / "encoder-model.onnx").rename(folder / "x")
        (folder / "decoder_joint-model.onnx").rename(folder / "encoder-model.onnx")
        (folder / "x").rename(folder / "decoder_joint-model.onnx")
        self.refused(folder, "encoder-model.onnx", "is expected")
        folder = self.copy("onnx-asr")  # another model's decoder
        shutil.copy(self.root / "sherpa-onnx" / "decoder.onnx", folder / "decoder_joint-model.onnx")
        self.refused(folder, "decoder_joint-model.onnx", "is expected")

    def test_words(self):
        folder = self.copy("onnx-asr")
        lines = (folder / "vocab.txt").read_text().splitlines()
        for broken, word in ((lines[:-1], "<blk>"), (lines[1:], "line 1"), (lines[:-9] + lines[-1:], "is not a piece"),
                             ([], "<blk>"), (lines + ["x 9"], "is not a piece"), (["a b"] + lines[1:], "line 1")):
            (folder / "vocab.txt").write_text("\n".join(broken))
            self.refused(folder, "vocab.txt", word)
        (folder / "vocab.txt").write_text("".join(f"{chr(97 + i)} {i}\n" for i in range(9)) + "<blk> 9\n")
        self.refused(folder, "decoder_joint-model.onnx", "durations")
        folder = self.copy("sherpa-onnx")
        (folder / "tokens.txt").write_text("a 0\n<blk> 1\n")
        self.refused(folder, "vocab_size")

    def test_settings(self):
        folder = self.copy("onnx-asr")
        for text, word in (('{"subsampling_factor": 4}', "subsampling_factor"), ('{"features_size": 0}', "features_size"), ("{", "config.json"),
                           ('{"max_tokens_per_step": "x"}', "max_tokens_per_step")):
            (folder / "config.json").write_text(text)
            self.refused(folder, "config.json", word)

    def test_without_weights(self):
        folder = self.root / "onnx-asr"
        for arguments in (("transcribe", "--engine", "cpu", "-m", folder, CLIPS[0]), ("transcribe", "--engine", "ref", "-m", folder, CLIPS[0]),
                          ("model", "convert", folder, "-o", self.root / "x"), ("model", "verify", folder),
                          ("export", "onnx", "-m", folder, "-o", self.root)):
            done = subprocess.run([CONURE, *map(str, arguments)], env=ENVIRONMENT, capture_output=True, text=True, timeout=100)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("ort/cpu", done.stderr)



class Run(Folders):
    def transcripts(self, folder, *options):
        """Everything but names, hashes and confidences, which differ in their last digit."""
        text = conure("transcribe", "-f", "json", "-m", folder, *options, *CLIPS)
        found, at, decoder = [], 0, json.JSONDecoder()
        while at < len(text.rstrip()):
            item, at = decoder.raw_decode(text, at)
            while at < len(text) and text[at].isspace():
                at += 1
            found += item if isinstance(item, list) else [item]
        self.assertGreater(len(found), 0)

        def bare(x):
            if isinstance(x, dict):
                return {k: bare(v) for k, v in x.items() if k not in ("confidence", "model", "engine", "timing", "seconds", "precision")}
            return [bare(v) for v in x] if isinstance(x, list) else x
        return [bare(x) for x in found]

    def test_both_layouts(self):
        own = self.transcripts(MODEL, "--engine", "cpu:f32")
        self.assertIn('"id"', json.dumps(own))
        for layout in ("onnx-asr", "sherpa-onnx"):
            self.assertEqual(json.dumps(self.transcripts(self.root / layout)), json.dumps(own), layout)

    def test_damaged_inside(self):
        folder = self.copy("onnx-asr")
        path = folder / "encoder-model.onnx"
        data = path.read_bytes()
        self.assertIn(b"LayerNormalization", data)
        path.write_bytes(data.replace(b"LayerNormalization", b"LayerNormalizatiom"))
        text = conure("transcribe", "-m", folder, CLIPS[0], code=REFUSED)
        self.assertIn("LayerNormalizatiom", text)

    def test_weights_outside(self):
        """In files beside the graphs: not finite, cut short, missing."""
        for name in ("encoder-model.onnx", "decoder_joint-model.onnx"):
            folder = self.root / f"outside-{name}"
            conure("export", "onnx", "-m", MODEL, "--external", "always", "-o", folder)
            data = folder / f"{name}.data"
            data.write_bytes(b"\xff" * data.stat().st_size)
            self.assertIn("exported graphs: fetch or export them again", conure("transcribe", "-m", folder, CLIPS[0], code=(1,)))
            for damage, cause in ((lambda: os.truncate(data, 5000), "5000"), (data.unlink, "exist")):
                damage()
                text = conure("transcribe", "-m", folder, *CLIPS[:2], code=(3,))
                self.assertEqual(text.count("error:"), 1)
                self.assertNotIn(CLIPS[0], text)
                for word in (name, cause, "export the whole folder again"):
                    self.assertIn(word, text)

    def test_caches(self):
        self.assertIn("buffered", conure("stream", "-m", self.root / "onnx-asr", "--mode", "cache", CLIPS[0], code=REFUSED))
        conure("stream", "-m", self.root / "onnx-asr", CLIPS[0])


if WHAT == "run" and any(word in pathlib.Path(CONURE).read_bytes() for word in (b"__asan_init", b"__tsan_init")):
    print("foreign.py: skipped: sanitizers stumble over exceptions and threads of a library that was built without them", file=sys.stderr)
    sys.exit(77)
if WHAT == "run":
    report = {row["name"]: row for row in json.loads(subprocess.run([CONURE, "doctor", "--json"], env=ENVIRONMENT, capture_output=True).stdout)}
    if report["onnxruntime"]["state"] != "good":
        print("foreign.py: skipped:", report["onnxruntime"]["advice"], file=sys.stderr)
        sys.exit(77)
unittest.main(argv=sys.argv[:1], defaultTest="Run" if WHAT == "run" else "Files")
