#!/usr/bin/env python3
"""Makes tests/data/golden and tests/data/audio from the full reference data.

    tests/data/make_golden.py SHARED [POCKETSPHINX]

SHARED        folder with golden/*.safetensors and data/speech-dev-flac.tar
POCKETSPHINX  test data of Debian's pocketsphinx-testdata (default: where the package puts it)

What a plain clone needs to test every stage on the small random models, and no more: of each file
the normalised features, subsampling, layers and encoder of two clips (one whose length fills its
last encoder frame and one whose length does not), and the decoder steps, tokens, frames and durations
of all three; and, in files of their own, cache-aware steps: every encoder output, the caches of the small
cache after steps 0, 1 and 3 and one case of each larger one.  Left out: the third clip's tensors, float64
runs, batches, and the last steps of the 640-frame case.  Names are kept.  Needs the standard library and the command flac; the result does not depend on the machine
but for flac's version (1.4.2 was used).
"""
import hashlib
import json
import pathlib
import re
import struct
import subprocess
import sys
import tarfile
import wave

MODELS = ("tiny-v3", "tiny-alt", "tiny-hostile")
DECODER = re.compile(
    r"((nemo|exact)\.)?(short|medium|masked)\.(tokens|frames|durations|encoder_len|step_\w+)$")
TENSORS = re.compile(r"((nemo|exact)\.)?(short|masked)\.(mel|subsampling|layer\d+|encoder)$")

DEV = ("e29030942b", "59aceb6ca6", "7c95f9febc", "04f8a3ba8c", "6af52fbae7", "53826e90a4")
COMMANDS = {"cards_001": "cards/001.wav", "cards_003": "cards/003.wav",
            "cards_004": "cards/004.wav", "goforward": "goforward.raw"}

STEPS = re.compile(r"(export\d+)\.step(\d+)\.(encoder|cache_last_channel|cache_last_time)$")
STEP_CACHES = {("export121", 0), ("export121", 1), ("export121", 3), ("export593", 3), ("export640", 1)}
STEPS_640, STEP_FRAMES = 5, 849  # as many columns of the features as the kept steps read


def read_safetensors(path):
    data = path.read_bytes()
    (header_bytes,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + header_bytes])
    header.pop("__metadata__", None)
    start = 8 + header_bytes
    return {name: (entry, data[start + entry["data_offsets"][0]:start + entry["data_offsets"][1]])
            for name, entry in header.items()}


def write_safetensors(path, tensors, metadata):
    """Wide elements first, so that every tensor is aligned to its element size."""
    header, blob = {"__metadata__": metadata}, b""
    for name in sorted(tensors, key=lambda n: (tensors[n][0]["dtype"] != "I64", n)):
        entry, data = tensors[name]
        header[name] = {"dtype": entry["dtype"], "shape": entry["shape"],
                        "data_offsets": [len(blob), len(blob) + len(data)]}
        blob += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + blob)
    return 8 + len(text) + len(blob)


def make_golden(shared, out):
    out.mkdir(exist_ok=True)
    for model in MODELS:
        source = shared / "golden" / f"{model}.golden.safetensors"
        kept = {name: tensor for name, tensor in read_safetensors(source).items()
                if DECODER.match(name) or TENSORS.match(name)}
        metadata = {"made_by": "tests/data/make_golden.py", "source": source.name,
                    "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest()}
        size = write_safetensors(out / source.name, kept, metadata)
        subprocess.run(["gzip", "--best", "--no-name", "--force", str(out / source.name)], check=True)
        print(f"golden/{source.name}: {len(kept)} tensors, {size} bytes")


def keep_step(name):
    match = STEPS.match(name)
    if not match:
        return False
    case, step, tensor = match.group(1), int(match.group(2)), match.group(3)
    if case == "export640" and step >= STEPS_640:
        return False
    return tensor == "encoder" or (case, step) in STEP_CACHES


def first_columns(tensor, n):
    entry, data = tensor
    rows, columns = entry["shape"]
    cut = b"".join(data[4 * columns * r:4 * (columns * r + n)] for r in range(rows))
    return dict(entry, shape=[rows, n]), cut


def make_steps(shared, out):
    for model in MODELS[:2]:
        source = shared / "golden" / f"{model}.golden.safetensors"
        tensors = read_safetensors(source)
        kept = {name: tensor for name, tensor in tensors.items() if keep_step(name)}
        kept["features"] = first_columns(tensors["features"], STEP_FRAMES)
        metadata = {"made_by": "tests/data/make_golden.py", "source": source.name,
                    "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest()}
        path = out / f"{model}.steps.safetensors"
        size = write_safetensors(path, kept, metadata)
        subprocess.run(["gzip", "--best", "--no-name", "--force", str(path)], check=True)
        cases = json.loads(source.with_suffix(".json").read_text())["steps"]
        for name, case in cases.items():  # as many steps as the features that are kept have
            n = (STEP_FRAMES - case["slice"]) // case["hop"] + 1
            case["encoded_len"], case["cache_len"] = case["encoded_len"][:n], case["cache_len"][:n]
        (out / f"{model}.steps.json").write_text(json.dumps({"steps": cases}, separators=(",", ":")) + "\n")
        print(f"golden/{model}.steps.safetensors: {len(kept)} tensors, {size} bytes")


def flac(raw, path):
    """16 kHz mono s16le samples to a FLAC file without a seek table, padding or a version tag."""
    subprocess.run(["flac", "--silent", "--force", "-8", "--no-padding", "--no-seektable",
                    "--force-raw-format", "--endian=little", "--sign=signed", "--channels=1",
                    "--bps=16", "--sample-rate=16000", "-o", str(path), "-"], input=raw, check=True)


def make_audio(shared, commands, out):
    out.mkdir(exist_ok=True)
    with tarfile.open(shared / "data" / "speech-dev-flac.tar") as tar:
        for clip in DEV:
            name = f"librispeech_{clip}.flac"
            (out / name).write_bytes(tar.extractfile("dev/" + name).read())
    for name, source in COMMANDS.items():
        path = commands / source
        if path.suffix == ".wav":
            with wave.open(str(path)) as file:
                assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16000)
                raw = file.readframes(file.getnframes())
        else:
            raw = path.read_bytes()
        flac(raw, out / f"{name}.flac")
    print("audio:", sum(path.stat().st_size for path in out.glob("*.flac")), "bytes")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    here = pathlib.Path(__file__).resolve().parent
    shared = pathlib.Path(sys.argv[1])
    commands = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else "/usr/share/pocketsphinx/test/data")
    make_golden(shared, here / "golden")
    make_steps(shared, here / "golden")
    make_audio(shared, commands, here / "audio")


if __name__ == "__main__":
    main()
