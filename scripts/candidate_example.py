#!/usr/bin/env python3
"""A candidate for `conure parity`, as short as one can be: it answers out of a reference file.

    conure parity --reference reference.jsonl --candidate 'exec:python3 scripts/candidate_example.py reference.jsonl'

To have an engine of your own judged, keep frames() and answer() and put your engine where lookup() is: it gets the inputs of one
chunk as bytes and gives the outputs as bytes.  The protocol is described in docs/clearance.md.  This one is not_proven, as it should
be: it answers the same whatever state it is given, and parity notices that.
"""
import base64
import json
import struct
import sys


def frames(stream):
    """(JSON, {tensor: bytes}) one after the other."""
    while head := stream.read(16):
        magic, json_bytes, payload_bytes = struct.unpack("<4sIQ", head)
        assert magic == b"CREC", magic
        record, payload, at, tensors = json.loads(stream.read(json_bytes)), stream.read(payload_bytes), 0, {}
        for name, tensor in record.get("tensors", {}).items():
            size = {"f32": 4, "i64": 8}[tensor["type"]]
            for n in tensor["shape"]:
                size *= n
            tensors[name] = payload[at : at + size]
            at += size
        yield record, tensors


def answer(stream, record, payload=b""):
    text = json.dumps(record).encode()
    stream.write(struct.pack("<4sIQ", b"CREC", len(text), len(payload)) + text + payload)
    stream.flush()


def lookup(path, outputs):
    """The outputs of every chunk of a reference in JSON Lines, as (tensors without data, bytes)."""
    with open(path, encoding="ascii") as lines:
        for line in lines:
            record = json.loads(line)
            if "chunk" in record:
                tensors = {name: record["tensors"][name] for name in outputs}
                payload = b"".join(base64.b64decode(tensor.pop("data")) for tensor in tensors.values())
                yield tensors, payload


def main():
    chunks = frames(sys.stdin.buffer)
    greeting, _ = next(chunks)
    outputs = [tensor["name"] for tensor in greeting["contract"]["outputs"]]  # in the order that the payload has
    known = list(lookup(sys.argv[1], outputs))
    answer(sys.stdout.buffer, {"candidate": f"{len(known)} chunks of {sys.argv[1]}", "protocol": 1})
    for record, _ in chunks:
        tensors, payload = known[record["chunk"]]
        answer(sys.stdout.buffer, {"chunk": record["chunk"], "step": record["step"], "tensors": tensors}, payload)


if __name__ == "__main__":
    main()
