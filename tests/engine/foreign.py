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


def configured(model, path, old, new):
    """The checkpoint with other words in its configuration; {0} stands for any indentation."""
    with tarfile.open(model) as source, tarfile.open(path, "w") as copy:
        for member in source:
            data = source.extractfile(member).read() if member.isfile() else b""
            if member.name.endswith("model_config.yaml"):
                before = data
                for indentation in range(0, 9, 2):
                    data = data.replace(old.format(indentation * " ").encode(), new.format(indentation * " ").encode())
                assert data != before, old
            member.size = len(data)
            copy.addfile(member, io.BytesIO(data))


def say(path, key, value):
    """Another value, of as many bytes, in a graph's metadata; None: nobody finds it."""
    data, entry = path.read_bytes(), bytes([10, len(key)]) + key.encode() + b"\x12"
    start = data.rindex(entry) + len(entry)
    if value is None:
        data = data.replace(entry, entry.replace(key.encode(), b"X" + key.encode()[1:]))
    else:
        assert data[start] == len(value), (key, data[start])
        data = data[:start + 1] + value.encode() + data[start + 1 + len(value):]
    path.write_bytes(data)


KEYS = ("conure.vocab_size", "conure.durations", "conure.max_symbols", "conure.model_sha256")


def anonymous(folder):
    """As if somebody else had exported it."""
    for path in folder.glob("*.onnx"):
        for key in KEYS:
            if key.encode() in path.read_bytes():
                say(path, key, None)


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
            (folder / name).symlink_to(folder / "nowhere")
            self.refused(folder, f"{name} (a link that leads nowhere)")
            (folder / name).unlink()
            (folder / name).symlink_to(name)
            self.refused(folder, f"{name} (a link that leads nowhere)")
        (folder / "tokens.txt").unlink()
        self.refused(folder, "tokens.txt: fetch")

    def test_two_checkpoints(self):
        other = self.root / "other.nemo"
        configured(MODEL, other, "max_symbols: 10", "max_symbols: 7")
        for layout, first, names in (("onnx-asr", "encoder-model.onnx", ["decoder_joint-model.onnx"]),
                                     ("sherpa-onnx", "encoder.onnx", ["decoder.onnx", "joiner.onnx"])):
            replaced = self.root / "replaced"
            shutil.rmtree(replaced, ignore_errors=True)
            replaced.mkdir()
            conure("export", "onnx", "-m", other, "--layout", layout, "-o", replaced)
            for name in (first, *names):
                folder = self.copy(layout)
                shutil.copy(replaced / name, folder / name)
                self.refused(folder, name, ".onnx and ", "conure.model_sha256", "--force")
                say(folder / name, "conure.model_sha256", None)
                if name != first:
                    self.assertRegex(conure("model", "info", folder, code=REFUSED + (0,)), "max_symbols")
                    say(folder / name, "conure.max_symbols", None)
                self.assertIn("nothing says that they belong together", conure("model", "info", folder))

    def test_sizes(self):
        """Of another model, found at opening."""
        other = self.root / "narrow"
        conure("export", "onnx", "-m", ALT, "--layout", "sherpa-onnx", "-o", other)
        for name, words in (("decoder.onnx", "size 48 on axis 1, and outputs"), ("joiner.onnx", "size 48 on axis 1, and outputs")):
            folder = self.copy("sherpa-onnx")
            shutil.copy(other / name, folder / name)
            anonymous(folder)
            self.refused(folder, "decoder.onnx" if name[0] == "d" else "encoder.onnx", "joiner.onnx", words, "two models")
        for port, axis in (("input_states_2", 0), ("input_states_2", 2), ("output_states_1", 2), ("output_states_2", 0)):
            folder = self.copy("onnx-asr")
            path = folder / "decoder_joint-model.onnx"
            data = path.read_bytes()
            at = data.rindex(bytes([10, len(port)]) + port.encode() + b"\x12")
            old = b"\x0a\x02\x08" + (b"\x02" if axis == 0 else b"\x30")
            at = data.index(old, at) + 3
            path.write_bytes(data[:at] + bytes([data[at] + 1]) + data[at + 1:])
            self.refused(folder, port, f"on axis {axis}", "two models")

    def test_what_our_graphs_say(self):
        for layout, graph in (("onnx-asr", "decoder_joint-model.onnx"), ("sherpa-onnx", "joiner.onnx"), ("sherpa-onnx", "decoder.onnx")):
            for key, value, words in (("conure.vocab_size", "255", "pieces"), ("conure.vocab_size", "2x6", '"2x6"'),
                                      ("conure.durations", "0,1,2,3,x", '"0,1,2,3,x"'), ("conure.durations", "000000004", "conure.durations"),
                                      ("conure.max_symbols", "-1", '"-1"'), ("conure.model_sha256", 64 * "0", ".onnx and ")):
                folder = self.copy(layout)
                say(folder / graph, key, value)
                self.refused(folder, graph, key, words)
        folder = self.copy("sherpa-onnx")
        say(folder / "joiner.onnx", "conure.max_symbols", "11")
        self.refused(folder, "decoder.onnx", "conure.max_symbols")

    def test_a_vocabulary_too_short(self):
        for layout, name in (("onnx-asr", "vocab.txt"), ("sherpa-onnx", "tokens.txt")):
            folder = self.copy(layout)
            lines = (folder / name).read_text().splitlines()
            for n in (255, 245, 258):
                kept = [line.rsplit(" ", 1)[0] for line in lines[:-1]] + ["x1", "x2"]
                (folder / name).write_text("".join(f"{piece} {i}\n" for i, piece in enumerate(kept[:n] + ["<blk>"])))
                self.refused(folder, name if layout == "onnx-asr" else "vocab_size")
            anonymous(folder)
            if layout == "sherpa-onnx":
                say(folder / "encoder.onnx", "vocab_size", "258")
            self.assertRegex(conure("model", "info", folder), rf"{name} has 258 pieces, and .*onnx gives 262 logits, which leaves 3 durations")
        self.assertNotIn("durations where", conure("model", "info", self.root / "onnx-asr"))

    def test_metadata_of_others(self):
        for key, value, words in (("vocab_size", "abc", '"abc"'), ("vocab_size", "255", "255"), ("feat_dim", "080", "feat_dim is 80"),
                                  ("feat_dim", "1e2", '"1e2"'), ("pred_hidden", "49", "pred_hidden is 49"), ("pred_rnn_layers", "1", "is 1"),
                                  ("subsampling_factor", "4", "is 4"), ("normalize_type", "all_feature", '"all_feature"')):
            folder = self.copy("sherpa-onnx")
            say(folder / "encoder.onnx", key, value)
            self.refused(folder, "encoder.onnx", key, words)
        for key, value in (("url", "ctc"), ("model_type", "EncDecCTCCModelBPE")):
            folder = self.copy("sherpa-onnx")
            say(folder / "encoder.onnx", key, value)
            self.assertRegex(conure("model", "info", folder), f'encoder.onnx: .*{key} is "{value}"')
        folder = self.copy("sherpa-onnx")  # 2^32 + 256, and an empty text
        path = folder / "encoder.onnx"
        data = path.read_bytes()
        entry = b"\x72\x11\x0a\x0avocab_size\x12\x03256"
        self.assertEqual(data.count(entry), 1)
        path.write_bytes(data.replace(entry, b"\x72\x18\x0a\x0avocab_size\x12\x0a4294967552"))
        self.refused(folder, "encoder.onnx", '"4294967552"')
        path.write_bytes(data + b"\x72\x12\x0a\x0enormalize_type\x12\x00")
        conure("model", "info", folder)  # the first one counts
        path.write_bytes(data.replace(b"normalize_type", b"normalize_typX") + b"\x72\x12\x0a\x0enormalize_type\x12\x00")
        self.refused(folder, "encoder.onnx", 'normalize_type is ""')

    def hash_of(self, folder):
        return json.loads(conure("model", "info", "--json", folder))["hash"]

    def test_hash(self):
        """Of all that decides what comes out, and of nothing else."""
        for layout, names in (("onnx-asr", ("vocab.txt", "config.json", "decoder_joint-model.onnx")),
                              ("sherpa-onnx", ("tokens.txt", "joiner.onnx", "decoder.onnx"))):
            folder = self.copy(layout)
            before = self.hash_of(folder)
            (folder / "encoder-model.onnx.data").write_bytes(b"left over")
            (folder / "README.md").write_text("x")
            self.assertEqual(self.hash_of(folder), before)
            for name in names:
                folder = self.copy(layout)
                old = (folder / name).read_bytes()
                if name.endswith(".txt"):
                    new = old.replace(b" 30\n", b"x 30\n")
                else:
                    new = old + (b"\n" if name.endswith(".json") else b"\x72\x06\x0a\x01a\x12\x01b")
                self.assertNotEqual(new, old)
                (folder / name).write_bytes(new)
                self.assertNotEqual(self.hash_of(folder), before, name)

    def test_weights_elsewhere(self):
        whole = self.root / "external"
        conure("export", "onnx", "-m", MODEL, "--external", "always", "-o", whole)

        def moved(to):
            folder = self.root / "changed"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(whole, folder)
            path = folder / "encoder-model.onnx"
            old = b"encoder-model.onnx.data"
            assert len(to) == len(old)
            path.write_bytes(path.read_bytes().replace(old, to))
            return folder, folder / "encoder-model.onnx.data"
        folder, data = moved(b"weights/all-of-them.bin")
        self.refused(folder, "all-of-them.bin", "No such file")
        (folder / "weights").mkdir()
        data = data.rename(folder / "weights/all-of-them.bin")
        before = self.hash_of(folder)
        bits = bytearray(data.read_bytes())
        bits[-1] ^= 1
        data.write_bytes(bits)
        self.assertNotEqual(self.hash_of(folder), before)
        data.write_bytes(bits[:-1])
        self.refused(folder, "encoder-model.onnx", "would end at", "all-of-them.bin")
        for to in (b"../external/x.onnx.data", b"/ncoder-model.onnx.data", b"aa/../../er.onnx.data/.", b"weights/../..///..../.."):
            self.refused(moved(to)[0], "encoder-model.onnx", "only files of its own folder")
        conure("model", "info", self.copy("onnx-asr"))

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
        self.refused(folder, "decoder_joint-model.onnx", "conure.vocab_size", "vocab.txt", "9 pieces")
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
        self.assertRegex(conure("model", "info", folder), "config.json: max_tokens_per_step is 3, and .*decoder_joint-model.onnx says .* 10")

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
        spread, model = self.root / "spread.nemo", self.root / "alt.nemo"
        configured(ALT, spread, "- 1\n{0}- 2\n", "- 2\n{0}- 4\n")
        configured(spread, model, "max_symbols: 10", "max_symbols: 1")
        own = json.dumps(self.transcripts(model, "--engine", "cpu:f32"))
        self.assertNotEqual(own, json.dumps(self.transcripts(ALT, "--engine", "cpu:f32")))
        self.assertNotEqual(own, json.dumps(self.transcripts(spread, "--engine", "cpu:f32")))
        for layout in ("onnx-asr", "sherpa-onnx"):
            folder = self.root / ("alt-" + layout)
            conure("export", "onnx", "-m", model, "--layout", layout, "-o", folder)
            self.assertEqual(json.dumps(self.transcripts(folder)), own, layout)

    def test_damaged_inside(self):
        folder = self.copy("onnx-asr")
        path = folder / "encoder-model.onnx"
        data = path.read_bytes()
        self.assertIn(b"LayerNormalization", data)
        path.write_bytes(data.replace(b"LayerNormalization", b"LayerNormalizatiom"))
        text = conure("transcribe", "-m", folder, CLIPS[0], code=REFUSED)
        self.assertIn("LayerNormalizatiom", text)

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
