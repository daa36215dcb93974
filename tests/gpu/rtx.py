"""Does today's TensorRT take our graphs?  rtx.py CONURE SOURCE_DIR [PLAN_GRAPH]

TensorRT-RTX (the Python package tensorrt-rtx) parses ONNX as TensorRT does and builds engines ahead of time where there is no GPU, with
batch and frames fixed and with ranges.  Nothing is run.  PLAN_GRAPH is ../onnx/plan_graph.c, built, and writes graphs as plans are built from.  Needs that package in this Python, or in the one that CONURE_RTX_PYTHON names.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

CONURE, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
PLAN_GRAPH = sys.argv[3] if len(sys.argv) > 3 else None
try:
    import tensorrt_rtx as trt
except ImportError as why:
    other = os.environ.pop("CONURE_RTX_PYTHON", None)
    if other:
        os.execv(other, [other, *sys.argv])
    print(f"gpu.rtx: SKIPPED, no parser of TensorRT has seen the graphs: {why}; pip install tensorrt-rtx installs it, "
          "CONURE_RTX_PYTHON names the Python that has it", file=sys.stderr)
    sys.exit(77)


CLIPS = sorted((SOURCE / "tests/data/audio").glob("*.flac"))[:2]


def conure(*arguments):
    subprocess.run([CONURE, *map(str, arguments)], check=True, capture_output=True)


def build(path, frames, batch, rows={}):
    """rows: of matrices, of each row of the batch.  Returns the first size of every matrix that comes in."""
    log = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(log)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(path)):
        raise AssertionError("; ".join(str(parser.get_error(i)) for i in range(parser.num_errors)))
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        shapes = [[b * rows.get(tensor.name, 1) if d < 0 and at == 0 else t if d < 0 else d for at, d in enumerate(tensor.shape)] for b, t in zip(batch, frames)]
        if shapes[0] == shapes[2]:
            tensor.shape = shapes[0]
        profile.set_shape(tensor.name, *shapes)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    assert plan is not None and plan.nbytes > 100000, path
    matrices = {network.get_input(i).name: network.get_input(i).shape[0] for i in range(network.num_inputs) if len(network.get_input(i).shape) == 2}
    print(f"gpu.rtx: {path.parent.name}/{path.name}, T {frames[0]}..{frames[2]}, B {batch[0]}..{batch[2]}: {network.num_layers} layers, {plan.nbytes} bytes", flush=True)
    return matrices


print(f"gpu.rtx: TensorRT-RTX {trt.__version__}", flush=True)
with tempfile.TemporaryDirectory() as room:
    room = pathlib.Path(room)
    contract = room / "contract.json"
    for name in ("tiny-v3", "tiny-alt", "tiny-hostile"):
        model = SOURCE / f"tests/data/models/{name}.nemo"
        fusible = ("--for", "tensorrt")  # as conure engine build writes its graphs
        for precision, opset, *more in (("f32", 16), ("f32", 17, *fusible), ("f16", 17, *fusible, "--batch", 4), ("bf16", 17, *fusible), ("int8", 17, *CLIPS),
                                        ("int8", 16, *fusible, "--int8-weights", "f32", *CLIPS)):
            folder = room / f"{name}-{precision}-{opset}"
            conure("contract", "derive", "-m", model, "--chunk", 8, "--shift", 1, "--cache", 64, "--schedule", "export", "--profiles", 121, "--batch-max", 8,
                   "--precision", precision, "-o", contract)
            conure("export", "onnx", "-m", model, "--contract", contract, "--graphs", "encoder,streaming", "--precision", precision,
                   "--opset", opset, "-o", folder, *more)
            step, whole = next(folder.glob("encoder_streaming.*onnx")), next(folder.glob("encoder-model.*onnx"))
            if "--batch" in more: # products in parts
                build(step, (121, 121, 121), (4, 4, 4))
            else:
                build(step, (121, 121, 121), (1, 1, 1))
                build(step, (121, 121, 121), (1, 4, 8))
            build(whole, (64, 320, 640), (1, 1, 4))
        rows = {}
        for precision, batch, *fused in (("f32", 1), ("f16", 1), ("f16", 1, "1"), ("f16", 4), ("f16", 0)) if PLAN_GRAPH else ():
            path = room / f"plan-{name}-{precision}-{'-'.join([str(batch), *fused])}.onnx"
            subprocess.run([PLAN_GRAPH, model, contract, path, "fusible", str(batch), precision, *fused], check=True)
            sizes = build(path, (121, 121, 121), (batch, batch, batch) if batch else (1, 2, 4), rows)
            rows = sizes if batch == 1 else rows
