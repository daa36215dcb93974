#!/usr/bin/env python3
"""A streaming encoder as ONNX, in ONNX Runtime, as a candidate for `conure parity`.

    conure export onnx -m parakeet.conure --contract encoder.contract.json --graphs streaming -o onnx
    conure parity -m parakeet.conure --contract onnx/encoder_streaming.contract.json \\
        --candidate 'exec:python3 scripts/candidate_onnx.py onnx/encoder_streaming.onnx'

Needs the Python packages onnxruntime and numpy.  A second argument is the number of threads.  Tensors go in and come out as the
protocol has them, float32; what a graph has as float16 or int8 is converted on the way.
"""
import sys

import numpy as np
import onnxruntime

from candidate_example import answer, frames

TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int8)": np.int8, "tensor(int64)": np.int64}


def steps_of(session, contract):
    """What 1 is worth in int8 caches, shaped to be multiplied with them: {name: array}; the graph's metadata has it by layers."""
    metadata, found = session.get_modelmeta().custom_metadata_map, {}
    layers_first = contract["caches"]["layout"] == "layer_first"
    for which, names in (("channel", ("cache_last_channel", "cache_last_channel_out")), ("time", ("cache_last_time", "cache_last_time_out"))):
        text = metadata.get(f"conure.cache_last_{which}_steps")
        if text:
            steps = np.array([float(word) for word in text.split(",")], np.float32)
            found.update((name, steps.reshape((-1, 1, 1, 1) if layers_first else (1, -1, 1, 1))) for name in names)
    return found


def main():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    inputs = {tensor.name: TYPES[tensor.type] for tensor in session.get_inputs()}
    chunks = frames(sys.stdin.buffer)
    greeting, _ = next(chunks)
    outputs = [tensor["name"] for tensor in greeting["contract"]["outputs"]]
    steps = steps_of(session, greeting["contract"])
    answer(sys.stdout.buffer, {"candidate": f"ONNX Runtime {onnxruntime.__version__}, {sys.argv[1]}", "protocol": 1})
    for record, tensors in chunks:
        feeds = {}
        for name, entry in record["tensors"].items():
            sent = np.frombuffer(tensors[name], {"f32": np.float32, "i64": np.int64}[entry["type"]])
            sent = sent.reshape(entry["shape"])
            feeds[name] = (np.clip(np.rint(sent / steps[name]), -127, 127) if name in steps else sent).astype(inputs[name])
        given = {}
        payload = b""
        for name, value in zip(outputs, session.run(outputs, feeds)):
            value = value if value.dtype == np.int64 else value.astype(np.float32) * steps.get(name, np.float32(1))
            given[name] = {"type": "i64" if value.dtype == np.int64 else "f32", "shape": list(value.shape)}
            payload += value.tobytes()
        answer(sys.stdout.buffer, {"chunk": record["chunk"], "step": record["step"], "tensors": given}, payload)


if __name__ == "__main__":
    main()
