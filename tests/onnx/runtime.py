"""Exported graphs in ONNX Runtime, held to NeMo's tensors and to our own engines.  runtime.py CONURE SOURCE_DIR [PLAN_GRAPH] [long]

Needs the Python packages onnx, onnxruntime and numpy, in this Python or in the one that CONURE_ORT_PYTHON names; onnx-asr and
soundfile for one test more.  `scripts/packages.sh python FOLDER` makes such a Python.  PLAN_GRAPH is plan_graph.c beside this, built.  `long` takes as many chunks as
a clearance.
"""
import gzip
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

CONURE, SOURCE, LONG = sys.argv[1], pathlib.Path(sys.argv[2]), "long" in sys.argv[3:]
PLAN_GRAPH = next((name for name in sys.argv[3:] if name != "long"), None)
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("CONURE_")}
try:
    import numpy as np
    import onnx
    import onnxruntime
except ImportError as why:
    other = os.environ.pop("CONURE_ORT_PYTHON", None)
    if other:
        os.execv(other, [other, *sys.argv])
    print(f"onnx.runtime: SKIPPED, nothing of the exported graphs was run: {why}; scripts/packages.sh python FOLDER installs what is "
          f"needed, CONURE_ORT_PYTHON=FOLDER/bin/python3 names it", file=sys.stderr)
    sys.exit(77)

MODELS, GOLDEN, AUDIO = (SOURCE / "tests/data" / name for name in ("models", "golden", "audio"))
# float32 of both sides on models whose float32 and float64 differ by 2e-6 (tiny-hostile: 1e-5), see tests/data/golden.
NOISE = {"tiny-v3": 6e-6, "tiny-alt": 6e-6, "tiny-hostile": 2e-5}


def conure(*arguments, code=0):
    run = subprocess.run([CONURE, *map(str, arguments)], capture_output=True, timeout=280, env=ENVIRONMENT)
    assert run.returncode == code, (arguments, run.returncode, run.stdout.decode(), run.stderr.decode())
    return run.stdout.decode() if code == 0 else run.stderr.decode()


def read_golden(name):
    packed = GOLDEN / f"{name}.gz"
    data = gzip.decompress(packed.read_bytes()) if packed.exists() else (GOLDEN / name).read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    types, tensors = {"F32": "<f4", "I64": "<i8", "I32": "<i4"}, {}
    for key, entry in json.loads(data[8:8 + size]).items():
        if key != "__metadata__":
            begin, end = entry["data_offsets"]
            tensors[key] = np.frombuffer(data[8 + size:][begin:end], types[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def session(path, level=onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def encode(runner, mel, length=None):
    length = mel.shape[-1] - 1 if length is None else length
    mel = mel if mel.ndim == 3 else mel[None]
    return runner.run(["outputs", "encoded_lengths"], {"audio_signal": mel, "length": np.atleast_1d(np.int64(length))})


def features_of(samples, bins):
    """The front end in float64, straight from its definition; NumPy's transform."""
    n_fft, window, hop = 512, 400, 160
    emphasised = samples.astype(np.float64)
    emphasised[1:] -= float(np.float32(0.97)) * samples[:-1].astype(np.float64)
    padded = np.concatenate([np.zeros(n_fft // 2), emphasised, np.zeros(n_fft)])
    taper = np.zeros(n_fft)
    taper[56:456] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / (window - 1))
    count = 1 + len(samples) // hop
    power = np.abs(np.fft.rfft(np.stack([padded[hop * t:hop * t + n_fft] * taper for t in range(count)]))) ** 2
    step = np.log(6.4) / 27
    mels = np.linspace(0, 15 + np.log(8) / step, bins + 2)
    points = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(step * (mels - 15)))
    hz = np.arange(n_fft // 2 + 1) * 16000 / n_fft
    rise = (hz - points[:-2, None]) / (points[1:-1] - points[:-2])[:, None]
    fall = (points[2:, None] - hz) / (points[2:] - points[1:-1])[:, None]
    bank = np.maximum(0, np.minimum(rise, fall)) * (2 / (points[2:] - points[:-2]))[:, None]
    log = np.log(bank @ power.T + 2.0 ** -24)
    valid = len(samples) // hop
    if valid < 2:
        return np.zeros((bins, count))
    mean, deviation = log[:, :valid].mean(1, keepdims=True), log[:, :valid].std(1, ddof=1, keepdims=True)
    log = (log - mean) / (deviation + 1e-5)
    log[:, valid:] = 0
    return log


def greedy(step, frames, n_labels, blank, durations, max_symbols):
    """docs/model.md, "Greedy decoding"; step(token, state, frame) gives logits and a state."""
    tokens, places, lengths, t, last, count = [], [], [], 0, -1, 0
    state, label = None, blank
    while t < len(frames):
        logits, after = step(label, state, frames[t])
        token, duration = int(logits[:n_labels].argmax()), durations[int(logits[n_labels:].argmax())]
        if token == blank:
            t += max(duration, 1)
            continue
        tokens.append(token), places.append(t), lengths.append(duration)
        count = count + 1 if last == t else 1
        last, label, state = t, token, after
        t += duration
        if count >= max_symbols and t == last:
            t += 1
    return tokens, places, lengths


class Exported(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def export(self, model, *options):
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.root))
        conure("export", "onnx", *(("-m", MODELS / f"{model}.nemo") if model else ()), *options, "-o", folder)
        for path in folder.glob("*.onnx"):
            onnx.checker.check_model(str(path), full_check=True)
            onnx.shape_inference.infer_shapes(onnx.load(str(path)), check_type=True, strict_mode=True, data_prop=True)
        return folder

    def near(self, got, want, limit, what):
        self.assertEqual(got.shape, want.shape, what)
        self.assertLessEqual(float(np.abs(got - want).max()), limit, what)

    # ---- the offline encoder

    def test_encoder(self):
        for model in ("tiny-v3", "tiny-alt"):
            golden = read_golden(f"{model}.golden.safetensors")
            for options in ((), ("--opset", 16), ("--opset", 21, "--max-frames", 400, "--external", "always")):
                runner = session(self.export(model, "--graphs", "encoder", *options) / "encoder-model.onnx")
                for clip in ("short", "masked"):
                    out, length = encode(runner, golden[f"{clip}.mel"])
                    self.near(out[0], golden[f"{clip}.encoder"], NOISE[model], (model, options, clip))
                    self.assertEqual(length.tolist(), golden[f"{clip}.encoder_len"].tolist())

    def test_masks(self):
        golden, mels = read_golden("tiny-hostile.golden.safetensors"), read_golden("tiny-v3.golden.safetensors")
        for mask in ("nemo", "exact"):
            runner = session(self.export("tiny-hostile", "--graphs", "encoder", "--mask", mask) / "encoder-model.onnx")
            for clip in ("short", "masked"):
                out, _ = encode(runner, mels[f"{clip}.mel"])
                self.near(out[0], golden[f"{mask}.{clip}.encoder"], NOISE["tiny-hostile"], (mask, clip))
        self.assertGreater(np.abs(golden["nemo.masked.encoder"] - golden["exact.masked.encoder"]).max(), 0.1)

    def test_batch(self):
        golden = read_golden("tiny-v3.golden.safetensors")
        runner = session(self.export("tiny-v3", "--graphs", "encoder", "--mask", "exact") / "encoder-model.onnx")
        mels = [golden[f"{clip}.mel"] for clip in ("short", "masked")] + [golden["masked.mel"][:, :70]]
        batch = np.full((3, 128, max(m.shape[1] for m in mels)), 7, np.float32)  # what is behind a length must not matter
        for row, mel in zip(batch, mels):
            row[:, :mel.shape[1]] = mel
        out, lengths = encode(runner, batch, [m.shape[1] - 1 for m in mels])
        for i, mel in enumerate(mels):
            alone, length = encode(runner, mel)
            self.assertEqual(lengths[i], length[0])
            self.near(out[i, :, :length[0]], alone[0][:, :length[0]], NOISE["tiny-v3"], i)

    def test_longer_than_the_most(self):
        runner = session(self.export("tiny-v3", "--graphs", "encoder", "--max-frames", 100) / "encoder-model.onnx")
        mel = read_golden("tiny-v3.golden.safetensors")["masked.mel"]
        encode(runner, mel[:, :100])
        with self.assertRaises(Exception):
            encode(runner, mel)

    # ---- decoder

    def joint_step(self, folder):
        runner = session(folder / "decoder_joint-model.onnx")
        layers, _, hidden = runner.get_inputs()[3].shape

        def step(token, state, frame):
            h, c = state or (np.zeros((layers, 1, hidden), np.float32),) * 2
            out, length, h, c = runner.run(["outputs", "prednet_lengths", "output_states_1", "output_states_2"], {
                "encoder_outputs": frame[None, :, None], "targets": np.int32([[token]]), "target_length": np.int32([1]),
                "input_states_1": h, "input_states_2": c})
            self.assertEqual(length.tolist(), [1])
            return out[0, 0, 0], (h, c)
        return step

    def sherpa_step(self, folder):
        decoder, joiner = session(folder / "decoder.onnx"), session(folder / "joiner.onnx")
        layers, _, hidden = decoder.get_inputs()[2].shape

        def step(token, state, frame):
            state = state or (np.zeros((layers, 1, hidden), np.float32),) * 2
            feeds = zip((i.name for i in decoder.get_inputs()), (np.int32([[token]]), np.int32([1]), *state))
            out, _, h, c = decoder.run(None, dict(feeds))
            (logits,) = joiner.run(None, dict(zip((i.name for i in joiner.get_inputs()), (frame[None, :, None], out))))
            return logits[0, 0, 0], (h, c)
        return step

    def test_decoder(self):
        for model, durations in (("tiny-v3", [0, 1, 2, 3, 4]), ("tiny-alt", [0, 1, 2])):
            golden = read_golden(f"{model}.golden.safetensors")
            for layout, made in (("onnx-asr", self.joint_step), ("sherpa-onnx", self.sherpa_step)):
                folder = self.export(model, "--graphs", "decoder", "--layout", layout)
                vocabulary = (folder / ("vocab.txt" if layout == "onnx-asr" else "tokens.txt")).read_text(encoding="utf-8").splitlines()
                blank = len(vocabulary) - 1
                self.assertEqual(vocabulary[-1], f"<blk> {blank}")
                step = made(folder)
                for clip in ("short", "masked"):
                    frames = golden[f"{clip}.encoder"].T[:golden[f"{clip}.encoder_len"][0]]
                    first = golden[f"{clip}.step_logits"][0]
                    self.near(step(blank, None, frames[golden[f"{clip}.step_frame"][0]])[0], first, 2e-5, (model, layout, clip))
                    tokens, places, lengths = greedy(step, frames, blank + 1, blank, durations, 10)
                    self.assertEqual(tokens, golden[f"{clip}.tokens"].tolist())
                    self.assertEqual(places, golden[f"{clip}.frames"].tolist())
                    self.assertEqual(lengths, golden[f"{clip}.durations"].tolist())

    def test_many_targets_at_once(self):
        folder = self.export("tiny-v3", "--graphs", "decoder")
        runner, step = session(folder / "decoder_joint-model.onnx"), self.joint_step(folder)
        frames = np.random.default_rng(3).normal(size=(2, 64, 5)).astype(np.float32)
        targets, zeros = np.int32([[256, 3, 9], [256, 8, 1]]), np.zeros((2, 2, 48), np.float32)
        out, _, h, _ = runner.run(None, {"encoder_outputs": frames, "targets": targets, "target_length": np.int32([3, 3]),
                                         "input_states_1": zeros, "input_states_2": zeros})
        self.assertEqual(out.shape, (2, 5, 3, 262))
        for b in range(2):
            state = None
            for u in range(3):
                logits, state = step(targets[b, u], state, frames[b, :, 4])
                self.near(out[b, 4, u], logits, 1e-5, (b, u))
            self.near(h[:, b], state[0][:, 0], 1e-5, b)

    # ---- front end

    def test_features(self):
        rng = np.random.default_rng(1)
        for model, bins in (("tiny-v3", 128), ("tiny-alt", 80)):
            runner = session(self.export(model, "--graphs", "features") / f"nemo{bins}.onnx")
            lengths = [16000, 15999, 4321, 320, 161, 100, 0]
            waves = rng.normal(size=(len(lengths), 16000)).astype(np.float32) * 0.1  # noise behind the lengths too
            waves += np.sin(np.arange(16000) ** 1.4 / 30).astype(np.float32) * 0.3
            out, counts = runner.run(["features", "features_lens"], {"waveforms": waves, "waveforms_lens": np.int64(lengths)})
            self.assertEqual(counts.tolist(), [n // 160 for n in lengths])
            for i, n in enumerate(lengths):
                want = np.zeros((bins, 101))
                made = features_of(waves[i, :n], bins) if n >= 320 else np.zeros((bins, 0))
                want[:, :made.shape[1]] = made
                self.near(out[i], want, 2e-4, (model, n))

    # ---- streaming

    def streaming(self, model, *derive, options=()):
        contract = pathlib.Path(tempfile.mkdtemp(dir=self.root)) / "contract.json"
        named = ("-m", MODELS / f"{model}.nemo") if model else ()
        conure("contract", "derive", *named, "--schedule", "export", *derive, "-o", contract)
        return self.export(model, "--contract", contract, "--graphs", "streaming", *options), named

    def parity(self, folder, named, mode, chunks, engine):
        candidate = f"exec:{sys.executable} {SOURCE / 'scripts/candidate_onnx.py'} {folder / 'encoder_streaming.onnx'} 2"
        out = conure("parity", *named, "--contract", folder / "encoder_streaming.contract.json", "--candidate", candidate, "--mode", mode,
                     "--chunks", chunks, "--engine", engine, "--json")
        summary = json.loads(out)
        self.assertEqual(summary["verdict"], "pass", out)

    def test_streaming(self):
        cases = [("tiny-v3", ("--chunk", 6, "--shift", 3, "--cache", 24), ("--opset", 16)),
                 ("tiny-v3", ("--chunk", 16, "--shift", 7, "--cache", 64, "--time-cache", "aligned"), ()),
                 ("tiny-alt", ("--chunk", 6, "--shift", 6, "--cache", 24, "--layout", "layer-first"), ()),
                 ("tiny-v3", ("--chunk", 2, "--shift", 1, "--cache", 90), ()),  # few queries, many rows: absorbed
                 ("tiny-alt", ("--chunk", 2, "--shift", 2, "--cache", 90, "--layout", "layer-first", "--mask", "nemo"), ()),
                 ("tiny-hostile", ("--chunk", 2, "--cache", 90, "--profiles", "all=17..33"), ()),  # the same, T not fixed
                 ("tiny-hostile", ("--chunk", 6, "--shift", 3, "--cache", 24, "--mask", "exact"), ("--opset", 18, "--external", "always")),
                 ("tiny-hostile", ("--cache", 96, "--profiles", "first=592,later=593..640"), ())]
        for model, derive, options in cases:
            folder, named = self.streaming(model, *derive, options=options)
            engine = "ref:f64" if model != "tiny-hostile" else "cpu:f32"
            self.parity(folder, named, "functional", 50 if LONG else 8, engine)
            self.parity(folder, named, "closed_loop", 300 if LONG else 25, engine)

    def test_embedded(self):
        folder, named = self.streaming(None, "--chunk", 6, "--shift", 3, "--cache", 64)
        self.parity(folder, named, "functional", 50 if LONG else 4, "cpu:f32")
        self.parity(folder, named, "closed_loop", 300 if LONG else 12, "cpu:f32")

    def test_streaming_batch(self):
        for layout, cache in (("batch-first", 24), ("layer-first", 24), ("batch-first", 400), ("layer-first", 400)):
            folder, _ = self.streaming("tiny-v3", "--chunk", 6, "--shift", 3, "--cache", cache, "--batch-max", 3, "--layout", layout)
            self.assertEqual("self_attn.q_wide" in (folder / "encoder_streaming.onnx").read_bytes().decode("latin-1"), cache > 100)
            runner = session(folder / "encoder_streaming.onnx")
            names, axis = [i.name for i in runner.get_inputs()], 0 if layout == "batch-first" else 1
            shapes = [[3 if d == "B" else d for d in i.shape] for i in runner.get_inputs()]
            rng = np.random.default_rng(5)
            audio, channel, time = (rng.normal(size=[57 if d == "T" else d for d in shapes[i]]).astype(np.float32) for i in (0, 2, 3))
            lengths, cached = np.int64([57, 40, 0]), np.int64([cache, 0, 7])
            audio[1, :, 40:], audio[2] = 0, 0
            together = runner.run(None, dict(zip(names, (audio, lengths, channel, time, cached))))
            self.assertEqual(together[1].tolist(), [3, 3, 0])
            self.assertEqual(together[4].tolist(), [cache, 3, 10])
            for b in range(3):
                one = runner.run(None, dict(zip(names, (audio[b:b + 1], lengths[b:b + 1], np.take(channel, [b], axis), np.take(time, [b], axis),
                                                        cached[b:b + 1]))))
                for i in (0, 2, 3):
                    self.near(np.take(together[i], [b], axis if i else 0), one[i], NOISE["tiny-v3"], (layout, b, i))

    # ---- other precisions

    def test_narrow_encoders(self):
        clips = sorted(AUDIO.glob("*.flac"))[:4]
        for model in ("tiny-v3", "tiny-alt"):
            golden = read_golden(f"{model}.golden.safetensors")
            for precision, limit, ending in (("f16", 0.01, "fp16"), ("int8", 0.4, "int8")):
                for opset in (16, 17):
                    folder = self.export(model, "--graphs", "encoder", "--precision", precision, "--opset", opset, *clips)
                    out, length = encode(session(folder / f"encoder-model.{ending}.onnx"), golden["short.mel"])
                    self.assertEqual(out.dtype, np.float32)
                    self.near(out[0], golden["short.encoder"], limit, (model, precision, opset))
                    self.assertGreater(np.abs(out[0] - golden["short.encoder"]).max(), 1e-5)  # it is another precision

    def test_for_tensorrt(self):
        """The same encoder in both forms: offline and a step, in a batch, lengths short and 0."""
        clips, rng = sorted(AUDIO.glob("*.flac"))[:2], np.random.default_rng(6)
        step = ("--chunk", 6, "--shift", 3, "--batch-max", 3)
        cases = [("tiny-v3", "f32", None, (), NOISE["tiny-v3"]), ("tiny-alt", "f32", (*step, "--cache", 24), ("--opset", 16), NOISE["tiny-alt"]),
                 ("tiny-alt", "f32", (*step, "--cache", 90, "--layout", "layer-first"), (), NOISE["tiny-alt"]),
                 ("tiny-v3", "f32", (*step, "--cache", 24, "--time-cache", "aligned", "--profiles", "all=17..57"), (), NOISE["tiny-v3"]),
                 ("tiny-v3", "f16", (*step, "--cache", 24), ("--caches", "narrow"), 0.01),
                 ("tiny-v3", "int8", (*step, "--cache", 24), ("--caches", "narrow"), 0.05),
                 # in three rows always, few enough for products in parts: five of each layer
                 ("tiny-v3", "f32", (*step, "--cache", 24), ("--batch", 3), NOISE["tiny-v3"]),
                 ("tiny-alt", "f32", (*step, "--cache", 90, "--layout", "layer-first"), ("--batch", 3), NOISE["tiny-alt"]),
                 ("tiny-v3", "f32", ("--chunk", 2, "--shift", 1, "--batch-max", 3, "--cache", 90), ("--batch", 3), NOISE["tiny-v3"]),
                 ("tiny-v3", "f16", (*step, "--cache", 24), ("--batch", 3), 0.01)]
        for model, precision, derive, options, limit in cases:
            outs, feeds = [], None
            for form in ("any", "tensorrt"):
                options_now = ("--precision", precision, "--for", form, *options, *(clips if precision in ("f16", "int8") else ()))
                if derive:
                    folder, _ = self.streaming(model, *derive, "--precision", precision, options=options_now)
                else:
                    folder = self.export(model, "--graphs", "encoder", *options_now)
                path = next(folder.glob("*.onnx"))
                depth = [node for node in onnx.load(str(path)).graph.node if node.op_type == "Conv" and ".conv." in node.name]
                self.assertEqual(len(depth) > 0, form == "any", (model, precision))
                apart = [node for node in onnx.load(str(path)).graph.node if node.name.endswith("_parts")]
                layers = len({node.name.split(".")[1] for node in onnx.load(str(path)).graph.node if node.name.startswith("layers.")})
                self.assertEqual(len(apart), 5 * layers if form == "tensorrt" and "--batch" in options else 0, (model, options))
                runner = session(path)
                feeds = feeds or self.feeds_of(runner, rng, folder)
                outs.append(runner.run(None, feeds))
            for i, (a, b) in enumerate(zip(*outs)):
                self.near(b.astype(np.float32), a.astype(np.float32), limit if a.dtype != np.int8 else 3, (model, precision, derive, i))

    @unittest.skipUnless(PLAN_GRAPH, "no plan_graph was named")
    def test_for_plans(self):
        """The same step with rows and caches as matrices, in both forms, for one stream, three and any number."""
        rng = np.random.default_rng(8)
        cases = [("tiny-v3", ("--chunk", 6, "--shift", 3, "--cache", 24), "f32", NOISE["tiny-v3"]),
                 ("tiny-v3", ("--chunk", 2, "--shift", 1, "--cache", 90), "f32", NOISE["tiny-v3"]),  # absorbed
                 ("tiny-alt", ("--chunk", 2, "--shift", 2, "--cache", 90), "f32", NOISE["tiny-alt"]),
                 ("tiny-alt", ("--chunk", 6, "--shift", 3, "--cache", 24), "f32", NOISE["tiny-alt"]),
                 # keys to a multiple of eight, norms in one pass
                 ("tiny-v3", ("--chunk", 6, "--shift", 3, "--cache", 24), "halves", NOISE["tiny-v3"]),
                 ("tiny-v3", ("--chunk", 3, "--shift", 3, "--cache", 24), "halves", NOISE["tiny-v3"]),
                 ("tiny-v3", ("--chunk", 6, "--shift", 3, "--cache", 24), "halves 2", NOISE["tiny-v3"]),  # two layers fused, one apart
                 ("tiny-alt", ("--chunk", 6, "--shift", 3, "--cache", 29), "halves 1", NOISE["tiny-alt"]),
                 ("tiny-alt", ("--chunk", 6, "--shift", 3, "--cache", 29), "halves", NOISE["tiny-alt"]),
                 ("tiny-v3", ("--chunk", 6, "--shift", 3, "--cache", 24), "f16", 0.01)]
        for model, derive, precision, limit in cases:
            for layout in ("batch-first", "layer-first"):
                contract = ("--chunk", *derive[1:], "--layout", layout, "--batch-max", 3)
                folder, _ = self.streaming(model, *contract)
                path, plans = next(folder.glob("*.onnx")), folder / "plan.onnx"
                runner, axis = session(path), 0 if layout == "batch-first" else 1
                feeds = self.feeds_of(runner, rng, folder)
                wanted = dict(zip((o.name for o in runner.get_outputs()), runner.run(None, feeds)))
                for form in ("fusible", "plain"):
                    for batch in (0, 1, 3):
                        subprocess.run([PLAN_GRAPH, MODELS / f"{model}.nemo", folder / "encoder_streaming.contract.json", plans, form, str(batch),
                                        *precision.split()], check=True)
                        if " " in precision:
                            between = [node for node in onnx.load(str(plans)).graph.node if node.op_type == "Conv" and ".conv." in node.name]
                            layers = {"tiny-v3": 3, "tiny-alt": 2}[model]
                            self.assertEqual(len(between), (2 - 1 if precision.endswith("2") else layers - 1) if form == "fusible" else layers)
                        planned = session(plans)
                        rows = slice(0, 1) if batch == 1 else slice(None)
                        of = lambda name, x: self.matrices(name, np.take(x, range(x.shape[axis if x.ndim == 4 else 0])[rows], axis if x.ndim == 4 else 0))
                        kinds = {i.name: {"tensor(float16)": np.float16}.get(i.type) for i in planned.get_inputs()}
                        outs = planned.run(None, {name: of(name, x).astype(kinds[name] or x.dtype) for name, x in feeds.items()})
                        for o, out in zip(planned.get_outputs(), outs):
                            want = of(o.name, wanted[o.name])
                            self.assertEqual(out.shape, want.shape, (model, derive, layout, form, batch, o.name))
                            self.near(out.astype(np.float32), want.astype(np.float32), limit, (model, derive, layout, form, batch, o.name))

    @unittest.skipUnless(PLAN_GRAPH, "no plan_graph was named")
    def test_padding_below_the_mask(self):
        """A stream whose valid scores are near -3e4, below NeMo's -10000 for others: keys of padding take nothing from them."""
        rng = np.random.default_rng(12)
        folder, _ = self.streaming("tiny-hostile", "--chunk", 6, "--shift", 3, "--cache", 24)
        runners = []
        for form in ("plain", "fusible"):
            plan = folder / f"{form}.onnx"
            subprocess.run([PLAN_GRAPH, MODELS / "tiny-hostile.nemo", folder / "encoder_streaming.contract.json", plan, form, "1", "halves"], check=True)
            runners.append(session(plan))
        names = [i.name for i in runners[0].get_inputs()]
        state = [np.zeros(i.shape, np.int64 if i.type == "tensor(int64)" else np.float32) for i in runners[0].get_inputs()[2:]]
        for _ in range(12):
            feeds = dict(zip(names, (rng.normal(size=(1, 57, 128)).astype(np.float32), np.int64([57]), *state)))
            (want, _, *state), (out, *_) = (runner.run(None, feeds) for runner in runners)
            self.near(out, want, 1e-3, state[2])  # its near ties can be farther apart than rounding; padding took 0.8
        self.assertEqual(state[2].tolist(), [24])

    @unittest.skipUnless(PLAN_GRAPH, "no plan_graph was named")
    def test_whole_for_plans(self):
        """Utterances of one length, whole, cut short and empty, in a batch and alone."""
        rng = np.random.default_rng(11)
        for model, frames, precision, limit in (("tiny-v3", 200, "f32", NOISE["tiny-v3"]), ("tiny-v3", 200, "halves", NOISE["tiny-v3"]), ("tiny-v3", 200, "halves 1", NOISE["tiny-v3"]),
                                                ("tiny-alt", 121, "halves", NOISE["tiny-alt"]), ("tiny-v3", 200, "f16", 0.01)):
            runner = session(self.export(model, "--graphs", "encoder") / "encoder-model.onnx")
            bins = runner.get_inputs()[0].shape[1]
            audio, lengths = rng.normal(size=(3, bins, frames)).astype(np.float32), np.int64([frames, frames * 2 // 3, 0])
            wanted = runner.run(None, {"audio_signal": audio, "length": lengths})
            plan = self.root / "whole.onnx"
            for form in ("fusible", "plain"):
                for batch in (1, 3):
                    subprocess.run([PLAN_GRAPH, MODELS / f"{model}.nemo", str(frames), plan, form, str(batch), *precision.split()], check=True)
                    out, n = session(plan).run(None, {"audio_signal": audio[:batch].swapaxes(1, 2), "length": lengths[:batch]})
                    self.assertEqual(n.tolist(), wanted[1][:batch].tolist())
                    self.near(out, wanted[0][:batch].swapaxes(1, 2), limit, (model, frames, precision, form, batch))
                    padded = [node for node in onnx.load(str(plan)).graph.node if node.name == "shared.memory_margin"]
                    rows = -(-frames // 8)
                    self.assertEqual(len(padded), int(form == "fusible" and precision != "f32" and rows % 8 > 0))

    def matrices(self, name, x):
        """A cache of four axes, and columns of features and output, as plans have them."""
        if x.ndim == 3:
            return x.swapaxes(1, 2)
        if "time" in name:
            x = x.swapaxes(2, 3)
        return x.reshape(-1, x.shape[3]) if x.ndim == 4 else x

    def feeds_of(self, runner, rng, folder):
        """Three rows, whole, cut short and of no valid frame, with caches where there are any."""
        contract = next(folder.glob("*.contract.json"), None)
        frames = json.loads(contract.read_text())["profiles"][0]["T"]["max"] if contract else 57
        feeds, kinds = {}, {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int8)": np.int8}
        for i in runner.get_inputs():
            shape = [{"B": 3, "T": frames}.get(d, d) for d in i.shape]
            if i.type == "tensor(int64)":
                feeds[i.name] = np.int64([frames, frames * 2 // 3, 0] if i.name == "length" or "audio" in i.name else [24, 0, 7])
            else:
                feeds[i.name] = (rng.normal(size=shape) * (20 if i.type == "tensor(int8)" else 1)).astype(kinds[i.type])
        return feeds

    def test_int8_weights_in_float32_are_the_same(self):
        """Whole numbers that the file holds, or that a node makes: computed in floats, to the bit."""
        clips, outs = sorted(AUDIO.glob("*.flac"))[:2], []
        for weights in ("int8", "f32"):
            folder, _ = self.streaming("tiny-v3", "--chunk", 6, "--shift", 3, "--cache", 24, "--precision", "int8",
                                       options=("--precision", "int8", "--opset", 16, "--int8-weights", weights, *clips))
            path, rng, feeds = next(folder.glob("*.onnx")), np.random.default_rng(4), {}
            kinds = {t.data_type for t in onnx.load(str(path)).graph.initializer if np.prod(t.dims) > 1000}
            self.assertEqual(onnx.TensorProto.INT8 in kinds, weights == "int8", kinds)
            runner = session(path, onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
            for i in runner.get_inputs():
                shape = [{"B": 1, "T": 57}.get(d, d) for d in i.shape]
                feeds[i.name] = np.full(shape, 20) if i.type == "tensor(int64)" else rng.normal(size=shape).astype(np.float32)
            outs.append(runner.run(None, feeds))
        for a, b in zip(*outs):
            np.testing.assert_array_equal(a, b)

    def test_what_float16_cannot_hold(self):
        clips, mels = sorted(AUDIO.glob("*.flac"))[:4], read_golden("tiny-v3.golden.safetensors")
        golden = read_golden("tiny-hostile.golden.safetensors")
        folder = self.export("tiny-hostile", "--graphs", "encoder", "--precision", "f16", *clips)
        graph = onnx.load(str(folder / "encoder-model.fp16.onnx"))
        kept = {entry.key: entry.value for entry in graph.metadata_props}["conure.f32_layers"]  # scores near -3e4
        out, _ = encode(session(folder / "encoder-model.fp16.onnx"), mels["masked.mel"])
        self.near(out[0], golden["nemo.masked.encoder"], 0.02, kept)

    def test_types_of_the_interface(self):
        clip = sorted(AUDIO.glob("*.flac"))[0]
        kinds = {1: "f32", 10: "f16", 16: "bf16", 3: "int8"}
        for precision, io, caches in (("f16", "narrow", "narrow"), ("f16", "f32", "narrow"), ("bf16", "narrow", "f32"), ("int8", "f32", "narrow")):
            contract = self.root / "narrow.json"
            conure("contract", "derive", "-m", MODELS / "tiny-v3.nemo", "--schedule", "export", "--chunk", 6, "--shift", 3, "--cache", 24,
                   "--precision", precision, "-o", contract)
            folder = self.export("tiny-v3", "--contract", contract, "--graphs", "streaming", "--precision", precision, "--io", io, "--caches",
                                 caches, *([clip] if precision != "bf16" else []))
            graph = onnx.load(str(next(folder.glob("*.onnx")))).graph
            types = [kinds.get(v.type.tensor_type.elem_type, "i64") for v in (*graph.input, *graph.output)]
            io, caches = (precision if kind == "narrow" else kind for kind in (io, caches))
            self.assertEqual(types, [io, "i64", caches, caches, "i64"] * 2)

    def test_narrow_caches(self):
        """A stream with narrow caches stays near the same stream with float32 ones."""
        clips, rng = sorted(AUDIO.glob("*.flac"))[:4], np.random.default_rng(9)
        slices = [rng.normal(size=(1, 128, 57)).astype(np.float32) for _ in range(12)]
        for precision, limit in (("f16", 0.02), ("int8", 0.6)):
            outs = []
            for caches in ("f32", "narrow"):
                folder, _ = self.streaming("tiny-v3", "--chunk", 6, "--shift", 3, "--cache", 24, "--precision", precision,
                                           options=("--precision", precision, "--caches", caches, *clips))
                runner = session(next(folder.glob("*.onnx")))
                types = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int8)": np.int8, "tensor(int64)": np.int64}
                state = [np.zeros([1 if d == "B" else d for d in i.shape], types[i.type]) for i in runner.get_inputs()[2:]]
                names, stream = [i.name for i in runner.get_inputs()], []
                for audio in slices:
                    out, _, *state = runner.run(None, dict(zip(names, (audio, np.int64([57]), *state))))
                    stream.append(out)
                self.assertEqual(state[2].tolist(), [24])
                outs.append(np.concatenate(stream, 2))
            self.near(outs[1], outs[0], limit, precision)

    def test_ranges(self):
        """What was seen of speech as a file: the same graph as from the speech, for this model alone."""
        tiny, clips, ranges = ("-m", MODELS / "tiny-v3.nemo"), sorted(AUDIO.glob("*.flac"))[:3], self.root / "ranges.json"
        conure("export", "ranges", *tiny, "-o", ranges, *clips)
        self.assertIn("--force", conure("export", "ranges", *tiny, "-o", ranges, *clips, code=2))
        self.assertIn("some audio files", conure("export", "ranges", *tiny, "-o", self.root / "none.json", code=2))
        narrow = ("export", "onnx", *tiny, "--precision", "int8", "--graphs", "encoder")
        conure(*narrow, "-o", self.root / "heard", *clips)
        conure(*narrow, "-o", self.root / "read", "--ranges", ranges)
        heard, read = ((self.root / name / "encoder-model.int8.onnx").read_bytes() for name in ("heard", "read"))
        self.assertEqual(heard, read)
        self.assertIn("in place of audio", conure(*narrow, "-o", self.root / "z", "--ranges", ranges, *clips, code=2))
        self.assertIn("f32 needs none", conure("export", "onnx", *tiny, "-o", self.root / "z", "--ranges", ranges, code=2))
        alt = ("-m", MODELS / "tiny-alt.nemo")
        self.assertIn("another model", conure("export", "onnx", *alt, "--precision", "int8", "-o", self.root / "z", "--ranges", ranges, code=1))
        for spec, words in ((f"ort/cpu:int8@ranges={ranges}", "another model"), ("ort/cpu:int8", "conure export ranges")):
            self.assertIn(words, conure("transcribe", *alt, "--engine", spec, clips[0], code=3))

    # ---- whole programs

    def test_transcripts(self):
        try:
            import onnx_asr
            import soundfile
        except ImportError as why:
            self.skipTest(f"no transcripts through onnx-asr: {why}")
        folder = self.export(None)
        model = onnx_asr.load_model("nemo-conformer-tdt", folder, providers=["CPUExecutionProvider"]).asr
        front = session(folder / "nemo128.onnx")
        clips = sorted(AUDIO.glob("*.flac"))
        wanted = json.loads(conure("transcribe", "-f", "json", "--precision", "f32", *clips))
        for clip, want in zip(clips, wanted):
            samples = soundfile.read(clip, dtype="float32")[0]
            count = np.int64([len(samples)])
            theirs = model._preprocessor(samples[None], count)
            ours = front.run(["features", "features_lens"], {"waveforms": samples[None], "waveforms_lens": count})
            for features in (theirs, ours):
                tokens, places, _ = next(iter(model._decoding(*model._encode(*features))))
                self.assertEqual(list(tokens), [t["id"] for t in want["tokens"]], clip)
                self.assertEqual(list(places), [t["frame"] for t in want["tokens"]], clip)

    # ---- what goes wrong

    def test_errors(self):
        tiny = ("-m", MODELS / "tiny-v3.nemo")
        self.assertIn("with -o", conure("export", "onnx", *tiny, code=2))
        self.assertIn("'encoders'", conure("export", "onnx", *tiny, "--graphs", "encoders", "-o", self.root / "x", code=2))
        self.assertIn("opset", conure("export", "onnx", *tiny, "--opset", 15, "-o", self.root / "x", code=2))
        self.assertIn("needs a contract", conure("export", "onnx", *tiny, "--graphs", "streaming", "-o", self.root / "x", code=2))
        self.assertIn("nothing.json", conure("export", "onnx", *tiny, "--contract", "nothing.json", "-o", self.root / "x", code=3))
        (self.root / "file").write_text("not a folder")
        self.assertIn("file", conure("export", "onnx", *tiny, "-o", self.root / "file" / "below", code=3))
        folder = self.export("tiny-v3")
        before = (folder / "vocab.txt").stat().st_mtime_ns
        self.assertIn("--force", conure("export", "onnx", *tiny, "-o", folder, code=2))
        self.assertEqual((folder / "vocab.txt").stat().st_mtime_ns, before)
        conure("export", "onnx", *tiny, "-o", folder, "--force")
        contract = self.root / "first.json"
        conure("contract", "derive", *tiny, "--chunk", 6, "--shift", 3, "--cache", 24, "-o", contract)
        self.assertIn("--schedule export", conure("export", "onnx", *tiny, "--contract", contract, "-o", self.root / "y", code=3))
        self.assertIn("tiny-v3", conure("export", "onnx", "-m", MODELS / "tiny-alt.nemo", "--contract", contract, "-o", self.root / "y", code=1))


if __name__ == "__main__":
    sys.argv[1:] = []
    unittest.main(verbosity=1)
