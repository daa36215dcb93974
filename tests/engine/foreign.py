#!/usr/bin/env python3
"""foreign.py CONURE SOURCE files|run - folders of graphs that were exported for other programs, as models.

files: what is said of folders that are damaged, incomplete or something else; needs no ONNX Runtime.
run: transcripts of both layouts beside those of the checkpoint they were made of; 77 without ONNX Runtime.
The folders are those of `conure export onnx`; in "run" also ones whose names are as other exporters have them.
"""
import json
import io
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

CONURE, SOURCE, WHAT = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("CONURE_") or k == "CONURE_ORT_LIBRARY"}
MODEL = SOURCE / "tests/data/models/tiny-v3.nemo"
ALT = SOURCE / "tests/data/models/tiny-alt.nemo"  # durations 0, 2, 4
CLIPS = sorted(map(str, (SOURCE / "tests/data/audio").glob("*.flac")))


REFUSED = (1, 3)  # a bad file, and one that is fine but not possible here


def conure(*arguments, code=(0,)):
    done = subprocess.run([CONURE, *map(str, arguments)], env=ENVIRONMENT, capture_output=True, text=True, timeout=250)
    assert done.returncode in code, f"{arguments}: status {done.returncode}, expected {code}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def configured(model, path, *changes):
    """The checkpoint with other words in its configuration."""
    with tarfile.open(model) as source, tarfile.open(path, "w") as copy:
        for member in source:
            data = source.extractfile(member).read() if member.isfile() else b""
            for old, new in changes if member.name.endswith("model_config.yaml") else ():
                assert old in data
                data = data.replace(old, new)
            member.size = len(data)
            copy.addfile(member, io.BytesIO(data))


def say(path, key, value):
    """Another value, of as many bytes, in a graph's metadata; None: nobody finds it."""
    data, entry = path.read_bytes(), bytes([10, len(key)]) + key.encode() + b"\x12"
    at = data.rindex(entry) + len(entry)
    if value is None:
        data = data.replace(entry, entry.replace(key.encode(), b"X" + key.encode()[1:]))
    else:
        assert data[at] == len(value), (key, data[at])
        data = data[:at + 1] + value.encode() + data[at + 1 + len(value):]
    path.write_bytes(data)


def anonymous(folder):
    """As if somebody else had exported it."""
    for path in folder.glob("*.onnx"):
        path.write_bytes(path.read_bytes().replace(b"conure.", b"nobody."))


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
            self.refused(folder, f"{name}: fetch")
        for layout, name in (("onnx-asr", "encoder-model.onnx"), ("sherpa-onnx", "encoder.onnx")):
            folder = self.copy(layout)
            (folder / name).rename(folder / "encoder_model.onnx")
            self.refused(folder, layout, f"lacks {name}: fetch")
            (folder / name).symlink_to(name)
            self.refused(folder, f"lacks {name} (a link that leads nowhere)")

    def test_two_models(self):
        other, narrow = self.root / "other", self.root / "narrow"
        configured(MODEL, self.root / "other.nemo", (b"max_symbols: 10", b"max_symbols: 7"))
        for layout in ("onnx-asr", "sherpa-onnx"):
            conure("export", "onnx", "-m", self.root / "other.nemo", "--layout", layout, "-o", other)
            conure("export", "onnx", "-m", ALT, "--layout", layout, "-o", narrow)
            for path in (self.root / layout).glob("*er*.onnx"):
                folder = self.copy(layout)
                shutil.copy(other / path.name, folder)
                self.refused(folder, path.name, ".onnx and ", "conure.model_sha256", "--force")
                say(folder / path.name, "conure.model_sha256", None)
                self.assertIn("nothing says that they belong together", conure("model", "info", folder))
                shutil.copy(narrow / path.name, folder)
                anonymous(folder)
                self.refused(folder, path.name, "on axis 1, and", "two models")
        for port, axis, size in (("input_states_2", 0, 2), ("input_states_2", 2, 48), ("output_states_1", 2, 48)):
            path = self.copy("onnx-asr") / "decoder_joint-model.onnx"
            data = path.read_bytes()
            at = data.index(b"\x0a\x02\x08" + bytes([size]), data.rindex(port.encode())) + 3
            path.write_bytes(data[:at] + bytes([size + 1]) + data[at + 1:])
            self.refused(path.parent, port, f"on axis {axis}", "two models")

    def test_metadata(self):
        for name, key, value, words in (
                ("decoder_joint-model", "conure.vocab_size", "255", "is 255, and 256 in"), ("joiner", "conure.vocab_size", "2x6", '"2x6"'),
                ("joiner", "conure.durations", "0,1,2,3,x", '"0,1,2,3,x"'), ("decoder_joint-model", "conure.durations", "000000004", "and 1 conure"),
                ("joiner", "conure.max_symbols", "-1", '"-1"'), ("encoder", "vocab_size", "abc", '"abc"'), ("encoder", "vocab_size", "255", "is 255"),
                ("encoder", "feat_dim", "080", "is 80, and 128 in"), ("encoder", "pred_hidden", "49", "is 49"), ("encoder", "pred_rnn_layers", "1", "is 1"),
                ("encoder", "subsampling_factor", "4", "is 4"), ("encoder", "normalize_type", "all_feature", '"all_feature"')):
            path = self.copy("onnx-asr" if "model" in name else "sherpa-onnx") / f"{name}.onnx"
            say(path, key, value)
            self.refused(path.parent, path.name, key, words)
        path = self.copy("sherpa-onnx") / "encoder.onnx"
        say(path, "url", "ctc")
        say(path, "model_type", "EncDecCTCCModelBPE")
        self.assertRegex(conure("model", "info", path.parent), r'encoder.onnx: model_type is "EncDecCTCCModelBPE"(.|\n)*encoder.onnx: url is "ctc"')
        data = path.read_bytes()
        for key, value in ((b"vocab_size", b"4294967552"), (b"normalize_type", b"")):  # 2^32 + 256
            entry = bytes([10, len(key)]) + key + bytes([18, len(value)]) + value
            path.write_bytes(data.replace(key, b"X" + key[1:]) + bytes([114, len(entry)]) + entry)
            self.refused(path.parent, "encoder.onnx", f'{key.decode()} is "{value.decode()}"')

    def test_vocabulary_that_does_not_fit(self):
        folder = self.copy("onnx-asr")
        lines = (folder / "vocab.txt").read_text().splitlines()
        for n in (255, 245, 258):
            pieces = [line.split()[0] for line in lines[:-1] + ["x1", "x2"]][:n] + ["<blk>"]
            (folder / "vocab.txt").write_text("".join(f"{piece} {i}\n" for i, piece in enumerate(pieces)))
            self.refused(folder, "vocab.txt", f"{n} in")
        anonymous(folder)
        self.assertRegex(conure("model", "info", folder), "vocab.txt has 258 pieces, and .*onnx gives 262 logits, which leaves 3 durations")
        self.assertNotIn("warning", conure("model", "info", self.root / "onnx-asr"))

    def hash_of(self, folder):
        return json.loads(conure("model", "info", "--json", folder))["hash"]

    def test_hash(self):
        """Of all that decides what comes out, and of nothing else."""
        for layout, names in (("onnx-asr", ("vocab.txt", "config.json", "decoder_joint-model.onnx")), ("sherpa-onnx", ("tokens.txt", "joiner.onnx"))):
            folder = self.copy(layout)
            (folder / "encoder-model.onnx.data").write_bytes(b"left over")
            before = self.hash_of(self.root / layout)
            self.assertEqual(self.hash_of(folder), before)
            for name in names:
                folder = self.copy(layout)
                old = (folder / name).read_bytes()
                (folder / name).write_bytes(old.replace(b" 30\n", b"x 30\n") if name.endswith(".txt") else old.replace(b"}", b" }") if
                                            name.endswith("n") else old + b"\x72\x06\x0a\x01a\x12\x01b")
                self.assertNotEqual(self.hash_of(folder), before, name)

    def test_weights_elsewhere(self):
        conure("export", "onnx", "-m", MODEL, "--external", "always", "-o", self.root / "external")
        old = b"encoder-model.onnx.data"
        for to in (b"../external/x.onnx.data", b"/ncoder-model.onnx.data", b"weights/../..///..../..", b"weights/all-of-them.bin"):
            folder = self.copy("external")
            path = folder / "encoder-model.onnx"
            path.write_bytes(path.read_bytes().replace(old, to))
            self.refused(folder, "all-of-them.bin: No such file" if b"all" in to else "only files of its own folder")
        (folder / "weights").mkdir()
        data = (folder / old.decode()).rename(folder / to.decode())
        before, bits = self.hash_of(folder), data.read_bytes()
        data.write_bytes(b"x" + bits[1:])
        self.assertNotEqual(self.hash_of(folder), before)
        data.write_bytes(bits[:-1])
        self.refused(folder, "encoder-model.onnx", "all-of-them.bin end at")

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
        self.refused(folder, "decoder_joint-model.onnx", "conure.vocab_size", "9 in", "vocab.txt")
        anonymous(folder)
        self.refused(folder, "decoder_joint-model.onnx", "durations", "vocab.txt has 9 pieces")
        folder = self.copy("sherpa-onnx")
        (folder / "tokens.txt").write_text("a 0\n<blk> 1\n")
        self.refused(folder, "vocab_size")

    def test_settings(self):
        folder = self.copy("onnx-asr")
        for text, word in (('{"subsampling_factor": 4}', "subsampling_factor"), ('{"features_size": 0}', "features_size"), ("{", "config.json"),
                           ('{"max_tokens_per_step": "x"}', "max_tokens_per_step"), ('{"features_size": 80}', "features_size is 80"),
                           ('{"model_type": "nemo-conformer-ctc"}', "nemo-conformer-ctc"), ('{"model_type": "whisper"}', "whisper")):
            (folder / "config.json").write_text(text)
            self.refused(folder, "config.json", word)
        (folder / "config.json").write_text('{"max_tokens_per_step": 3}')
        self.assertRegex(conure("model", "info", folder), "config.json: max_tokens_per_step 3 counts, and conure.max_symbols 10")

    def test_without_weights(self):
        folder = self.root / "onnx-asr"
        for arguments in (("transcribe", "--engine", "cpu", "-m", folder, CLIPS[0]), ("transcribe", "--engine", "ref", "-m", folder, CLIPS[0]),
                          ("model", "convert", folder, "-o", self.root / "x"), ("model", "verify", folder),
                          ("export", "onnx", "-m", folder, "-o", self.root),
                          ("contract", "derive", "-m", folder, "--cache", "64", "--profiles", "121", "--schedule", "export", "-o", self.root / "x"),
                          ("contract", "derive", "-m", folder, "--any-weights", "--cache", "64", "--profiles", "121", "--schedule", "export")):
            done = subprocess.run([CONURE, *map(str, arguments)], env=ENVIRONMENT, capture_output=True, text=True, timeout=100)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("ort/cpu", done.stderr)
            self.assertFalse((self.root / "x").exists())


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

    def test_our_own_decode_as_their_checkpoint(self):
        """Durations that are not 0, 1, 2, and a limit of symbols, in either layout."""
        spread, one = [(b"- 1\n" + n * b" " + b"- 2\n", b"- 2\n" + n * b" " + b"- 4\n") for n in (2, 4)], (b"max_symbols: 10", b"max_symbols: 1")
        texts, model = [], self.root / "alt.nemo"
        for changes in ((), spread, (*spread, one)):
            configured(ALT, model, *changes)
            texts.append(json.dumps(self.transcripts(model, "--engine", "cpu:f32")))
        self.assertEqual(len(set(texts)), 3)
        for layout in ("onnx-asr", "sherpa-onnx"):
            folder = self.root / ("alt-" + layout)
            conure("export", "onnx", "-m", model, "--layout", layout, "-o", folder)
            self.assertEqual(json.dumps(self.transcripts(folder)), texts[-1], layout)

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
            for damage, cause in ((lambda: os.truncate(data, 5000), "5000"), (data.unlink, "weights")):
                damage()
                text = conure("transcribe", "-m", folder, *CLIPS[:2], code=(3,))
                self.assertEqual(text.count("error:"), 1)
                self.assertNotIn(CLIPS[0], text)
                for word in (name, cause, "again"):
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
