"""What PyTorch takes for the encoder that our engines run: the 0.6 B FastConformer, offline, random weights, CUDA graphs.

    torch_encoder.py [--max-seconds S] [--json FILE] [--compile] [--plain] [--batch LIST] [--frames LIST] [--precision LIST]
    torch_encoder.py --check MODEL.nemo TENSORS.safetensors     is it the encoder?  NAME.mel in, NAME.encoder as NeMo gave it

docs/tensorrt.md says what is measured.
"""
import argparse
import itertools
import json
import math
import struct
import sys
import tarfile
import time

try:
    import torch
    import torch.nn.functional as F
except ImportError as why:
    print(f"torch_encoder: SKIPPED, nothing was measured: {why}", file=sys.stderr)
    sys.exit(77)

# parakeet-tdt-0.6b-v3
MEL, LAYERS, WIDTH, HEADS, INNER, KERNEL, CHANNELS = 128, 24, 1024, 8, 4096, 9, 256
NORMS = "feed_forward1", "self_att", "conv", "feed_forward2", "out"
VARIANTS = list(itertools.product((True, False), (True, False)))  # fused attention, channels last
TYPES = {"f32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def random_state(device):
    """Tensors under NeMo's names, as PyTorch initialises them."""
    torch.manual_seed(1)
    d, c, s = WIDTH, CHANNELS, {}
    shapes = {f"pre_encode.conv.{i}": (c, 1, 3, 3) if i in (0, 2, 5) else (c, c, 1, 1) for i in (0, 2, 3, 5, 6)}
    shapes |= {"pre_encode.out": (d, c * MEL // 8)}
    layer = {f"self_attn.linear_{part}": (d, d) for part in ("q", "k", "v", "pos", "out")} | {f"norm_{part}": (d,) for part in NORMS}
    layer |= {f"feed_forward{i}.linear{j}": (INNER, d) if j == 1 else (d, INNER) for i in (1, 2) for j in (1, 2)}
    layer |= {"conv.pointwise_conv1": (2 * d, d, 1), "conv.depthwise_conv": (d, 1, KERNEL), "conv.pointwise_conv2": (d, d, 1), "conv.batch_norm": (d,)}
    layer |= {f"self_attn.pos_bias_{part}": (HEADS, d // HEADS) for part in "uv"}
    for name, shape in (shapes | {f"layers.{n}.{name}": shape for n in range(LAYERS) for name, shape in layer.items()}).items():
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        made = {"": shape} if "pos_bias" in name else {".weight": shape, ".bias": shape[:1]} if name[0] == "p" else {".weight": shape}
        s |= {name + what: torch.empty(size, device=device).uniform_(-bound, bound) for what, size in made.items()}
        if len(shape) == 1:
            s |= {f"{name}.{what}": torch.full(shape, value, device=device) for what, value in
                  (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0))}
    return s


def nemo_state(path):
    with tarfile.open(path) as archive:
        weights = next(m for m in archive.getmembers() if m.name.endswith("model_weights.ckpt"))
        state = torch.load(archive.extractfile(weights), map_location="cpu", weights_only=True)
    return {k.removeprefix("encoder."): v.float() for k, v in state.items() if k.startswith("encoder.")}


class Layer:
    def __init__(self, state, at, frames, dtype):
        s = {k.removeprefix(at): v for k, v in state.items() if k.startswith(at)}
        u, v = s["self_attn.pos_bias_u"], s["self_attn.pos_bias_v"]
        self.heads, self.head = u.shape
        self.width = d = u.numel()

        def keep(value):
            return value.to(dtype).contiguous()

        self.norms = {part: [keep(s[f"norm_{part}.{what}"]) for what in ("weight", "bias")] for part in NORMS}
        # Half of what a feed-forward gives is added: half of its second matrix.
        self.forwards = [(keep(s[f"feed_forward{i}.linear1.weight"]), keep(s[f"feed_forward{i}.linear2.weight"].T * 0.5)) for i in (1, 2)]
        self.qkv = keep(torch.cat([s[f"self_attn.linear_{p}.weight"] for p in "qkv"]))
        self.qkv_bias = keep(torch.cat([u.flatten(), torch.zeros(2 * d, device=u.device)]))
        self.out = keep(s["self_attn.linear_out.weight"].T)
        # (q + v).R is (q + u).R and, of each head and distance, a constant; both with the scale of the scores.
        turns = torch.arange(frames - 1, -frames, -1, device=u.device, dtype=torch.float32)[:, None] * torch.exp(
            torch.arange(0, d, 2, device=u.device) * (-math.log(10000) / d))
        waves = torch.stack([turns.sin(), turns.cos()], -1).flatten(1)
        far = (waves @ s["self_attn.linear_pos.weight"].T).view(-1, self.heads, self.head).permute(1, 2, 0) / math.sqrt(self.head)
        self.far, self.far_constant = keep(far), keep((v - u)[:, None] @ far)
        scale = s["conv.batch_norm.weight"] / torch.sqrt(s["conv.batch_norm.running_var"] + 1e-5)
        self.gate, self.mix = keep(s["conv.pointwise_conv1.weight"][:, :, 0]), keep(s["conv.pointwise_conv2.weight"][:, :, 0].T)
        self.taps, self.taps_bias = keep(s["conv.depthwise_conv.weight"] * scale[:, None, None]), keep(
            s["conv.batch_norm.bias"] - s["conv.batch_norm.running_mean"] * scale)

    def norm(self, x, part):
        return F.layer_norm(x, (self.width,), *self.norms[part])

    def attend(self, x, batch, frames, fused):
        h, d, step = self.heads, self.head, 2 * frames - 1
        q, k, v = F.linear(x, self.qkv, self.qkv_bias).view(batch, frames, 3, h, d).permute(2, 3, 0, 1, 4).contiguous()
        near = torch.baddbmm(self.far_constant.expand(h, batch * frames, -1), q.view(h, -1, d), self.far)  # distances T'-1 .. -(T'-1)
        # Row i of the scores begins at T' - 1 - i of them.
        shifted = near.as_strided((h, batch, frames, frames), (batch * frames * step, frames * step, step - 1, 1), frames - 1)
        if fused:  # whose kernels read a mask by vectors: its rows begin at multiples of eight
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=F.pad(shifted, (0, -frames % 8))[..., :frames])
        else:
            s = torch.baddbmm(shifted.reshape(-1, frames, frames), q.view(-1, frames, d), k.view(-1, frames, d).mT, alpha=1 / math.sqrt(d))
            y = torch.bmm(s.softmax(-1), v.view(-1, frames, d))
        return y.view(h, batch, frames, d).permute(1, 2, 0, 3).reshape(-1, self.width)

    def __call__(self, x, batch, frames, fused):
        """x [B T'][d], which is changed."""
        (up1, down1), (up2, down2) = self.forwards
        x.addmm_(F.silu(F.linear(self.norm(x, "feed_forward1"), up1)), down1)
        x.addmm_(self.attend(self.norm(x, "self_att"), batch, frames, fused), self.out)
        c = F.glu(F.linear(self.norm(x, "conv"), self.gate)).view(batch, frames, -1).transpose(1, 2)
        c = F.silu(F.conv1d(c, self.taps, self.taps_bias, padding=self.taps.shape[2] // 2, groups=self.width))
        x.addmm_(c.transpose(1, 2).reshape(-1, self.width), self.mix)
        x.addmm_(F.silu(F.linear(self.norm(x, "feed_forward2"), up2)), down2)
        return self.norm(x, "out")


class Encoder:
    """For slices of one length, all of it valid: [B][mel][T] to [B][d][T']."""

    def __init__(self, state, mel_frames, dtype):
        self.frames = (mel_frames + 7) // 8
        self.front = {i: [state[f"pre_encode.{i}.{what}"].to(dtype) for what in ("weight", "bias")]
                      for i in ("conv.0", "conv.2", "conv.3", "conv.5", "conv.6", "out")}
        n = len({k.split(".")[1] for k in state if k.startswith("layers.")})
        self.layers = [Layer(state, f"layers.{i}.", self.frames, dtype) for i in range(n)]

    def __call__(self, mel, fused=True, channels_last=False):
        batch, front = mel.shape[0], self.front
        x = mel.transpose(1, 2)[:, None].to(front["out"][0].dtype)
        x = x.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
        x = F.relu_(F.conv2d(x, *front["conv.0"], stride=2, padding=1))
        for deep, point in (("conv.2", "conv.3"), ("conv.5", "conv.6")):
            x = F.relu_(F.conv2d(F.conv2d(x, *front[deep], stride=2, padding=1, groups=x.shape[1]), *front[point]))
        x = F.linear(x.permute(0, 2, 1, 3).reshape(batch * self.frames, -1), *front["out"])
        for layer in self.layers:
            x = layer(x, batch, self.frames, fused)
        return x.view(batch, self.frames, -1).transpose(1, 2).contiguous().float()


# ---- is it the encoder? ----

def tensors_of(path):
    with open(path, "rb") as file:
        data = file.read()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    return {name: torch.frombuffer(bytearray(data[start + t["data_offsets"][0]:start + t["data_offsets"][1]]), dtype=torch.float32).view(t["shape"])
            for name, t in json.loads(data[8:start]).items() if name != "__metadata__" and t["dtype"] == "F32"}


def check(model, path):
    state, tensors, worst = nemo_state(model), tensors_of(path), 0.0
    for name in sorted(k[:-4] for k in tensors if k.endswith(".mel")):
        mel = tensors[name + ".mel"][None, :, :-1]  # the last column is beyond the valid frames, as NeMo has it
        encoder, truth = Encoder(state, mel.shape[2], torch.float32), tensors[name + ".encoder"]
        for fused, channels_last in VARIANTS:
            got = encoder(mel.expand(2, -1, -1), fused, channels_last)
            error = (got - truth[None, :, :got.shape[2]]).abs().max().item()
            worst = max(worst, error if math.isfinite(error) else math.inf)
            print(f"{name}: {got.shape[2]} frames, {'fused attention' if fused else 'products'}, "
                  f"{'channels last' if channels_last else 'channels first'}: largest error {error:.3g} of {truth.abs().max():.3g}")
    print(f"torch_encoder: {'the same encoder' if 0 < worst <= 1e-4 else 'ANOTHER ENCODER'}: largest error {worst:.3g}, at most 1e-4")
    return 0 if 0 < worst <= 1e-4 else 1


# ---- how long it takes ----

def by_events(run, n):
    """Milliseconds of n calls, each between two events."""
    events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(n)]
    for begin, end in events:
        begin.record()
        run()
        end.record()
    torch.cuda.synchronize()
    return sorted(begin.elapsed_time(end) for begin, end in events)


def percentiles(values):
    return {f"p{p}": round(values[min(len(values) - 1, round(p / 100 * (len(values) - 1)))], 4) for p in (50, 95, 99)}


def capture(encoder, mel, *variant):
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            encoder(mel, *variant)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = encoder(mel, *variant)
    graph.replay()
    return graph, out


def allow_tf32(allowed):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def measure(encoder, variants, truth, precision, batch, mel_frames):
    allow_tf32(precision == "tf32")
    host = torch.randn(batch, MEL, mel_frames, generator=torch.Generator().manual_seed(7)).pin_memory()
    mel, best = host.cuda(), None
    for variant in variants:
        graph, out = capture(encoder, mel, *variant)
        speed = by_events(graph.replay, 5)[2]
        if not best or speed < best[0]:
            best = speed, variant, graph, out
    speed, (fused, channels_last), graph, out = best
    n = max(20, min(300, int(400 / speed)))
    gpu = by_events(graph.replay, n)
    back, clock = torch.empty(out.shape, pin_memory=True), []
    for _ in range(n):
        start = time.perf_counter()
        mel.copy_(host, non_blocking=True)
        graph.replay()
        back.copy_(out, non_blocking=True)
        torch.cuda.synchronize()
        clock.append(1000 * (time.perf_counter() - start))
    if not torch.isfinite(back).all():
        raise SystemExit(f"torch_encoder: {precision}, B {batch}, T {mel_frames}: values that are not finite")
    row = {"precision": precision, "batch": batch, "frames": mel_frames, "replays": n, "gpu_ms": percentiles(gpu),
           "host_ms": percentiles(sorted(clock)), "attention": "fused" if fused else "products",
           "convolutions": "channels_last" if channels_last else "channels_first",
           "error": (back[:1] - truth).abs().max().item() if truth is not None else None}
    return row, back[:1].clone()


def machine_rates():
    rates = {}
    a, b = (torch.randn(8192, 8192, device="cuda") for _ in range(2))
    allow_tf32(True)
    for name in ("f16", "bf16", "tf32"):
        x, y = a.to(TYPES[name]), b.to(TYPES[name])
        by_events(lambda: x @ y, 5)
        rates[f"{name}_tflops"] = round(2 * 8192 ** 3 / (by_events(lambda: x @ y, 20)[10] * 1e9), 1)
    one, two = (torch.empty(1 << 30, dtype=torch.uint8, device="cuda") for _ in range(2))
    by_events(lambda: two.copy_(one), 5)
    rates["copy_tb_s"] = round(2 * one.numel() / (by_events(lambda: two.copy_(one), 20)[10] * 1e9), 3)
    return rates


def points(batches, frames, precisions):
    """The most telling first: single streams and full batches of 592 and 57 frames in f32 and f16."""
    def rank(point):
        b, t, p = point
        return (p not in ("f32", "f16")) + (t not in (592, 57)) + (b not in (1, 32)), t != 592, p not in ("f32", "f16"), b
    return sorted(itertools.product(batches, frames, precisions), key=rank)


def bench(options):
    if not torch.cuda.is_available():
        print("torch_encoder: SKIPPED, nothing was measured: PyTorch sees no GPU", file=sys.stderr)
        return 77
    start = time.monotonic()
    torch.backends.cudnn.benchmark = True
    report = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "cuda": torch.version.cuda, "compile": options.compile,
              "rates": machine_rates(), "rows": [], "left_out": []}
    print(f"{report['gpu']}, PyTorch {report['torch']}, CUDA {report['cuda']}: {report['rates']}")
    print("precision   B     T    gpu p50     p95     p99   host p50     p95     p99 ms   error to f32", flush=True)
    state, truths = random_state("cuda"), {}
    for b, t, p in points(options.batch, options.frames, options.precision):
        if time.monotonic() - start > options.max_seconds:
            report["left_out"].append([p, b, t])
            continue
        allow_tf32(False)  # weights are prepared in float32 whatever they are for
        encoder = Encoder(state, t, TYPES[p])
        if options.compile:
            encoder = torch.compile(encoder.__call__, dynamic=False)
        variants = [(True, False)] if options.compile else [v for v in VARIANTS if not (options.plain and v[0])]
        row, out = measure(encoder, variants, truths.get((b, t)), p, b, t)
        if p == "f32":
            truths[b, t] = out
        report["rows"].append(row)
        g, h = row["gpu_ms"], row["host_ms"]
        error = f"{row['error']:.3g}" if row["error"] is not None else ""
        print(f"{p:9} {b:3} {t:5} {g['p50']:10.3f} {g['p95']:7.3f} {g['p99']:7.3f} {h['p50']:10.3f} {h['p95']:7.3f} {h['p99']:7.3f}      {error:8} "
              f"{row['attention']}, {row['convolutions']}", flush=True)
        del encoder
    if report["left_out"]:
        print(f"torch_encoder: {len(report['left_out'])} points left out after {options.max_seconds} s: {report['left_out']}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(report, file, indent=1)
    return 0


def numbers(text):
    return [int(x) for x in text.split(",")]


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--check", nargs=2, metavar=("MODEL.nemo", "TENSORS"))
parser.add_argument("--max-seconds", type=float, default=math.inf)
parser.add_argument("--json")
parser.add_argument("--compile", action="store_true", help="let torch.compile fuse; each point then takes a minute or more")
parser.add_argument("--plain", action="store_true", help="attention as products alone, without PyTorch's fused kernels")
parser.add_argument("--batch", type=numbers, default=[1, 8, 32])
parser.add_argument("--frames", type=numbers, default=[57, 584, 592, 1001])
parser.add_argument("--precision", type=lambda text: text.split(","), default=["f32", "tf32", "bf16", "f16"])
chosen = parser.parse_args()
with torch.inference_mode():
    sys.exit(check(*chosen.check) if chosen.check else bench(chosen))
