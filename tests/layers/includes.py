#!/usr/bin/env python3
"""includes.py SOURCE: which way #include points in src/ and what each layer may use of the outside.

A layer includes its own headers and those of the layers before it in LAYERS, never those after; nothing
includes the command.  The installed header stands alone and names no engine, backend or library.
"""
import pathlib
import re
import sys

# From the bottom up.  onnx writes graphs of a checkpoint, which an engine may hand to a runtime.  audio stands apart: beside the
# core, on base alone.
LAYERS = ["base", "model", "features", "backend", "encoder", "contract", "onnx", "engine", "decode", "stream"]
BELOW = {layer: set(LAYERS[: i + 1]) for i, layer in enumerate(LAYERS)}
BELOW["audio"] = {"audio", "base", "features"}  # whose resampler it takes where there is no libsoxr
# clearance too stands beside the core, on all of it; the command is above all of them.
BELOW["clearance"] = {"clearance", *LAYERS}
BELOW["cli"] = {"cli", "audio", "clearance", *LAYERS}

# Headers of libraries and compilers, and the layers that may use them.  The command may use any of them: it
# reports their versions and measures the machine.
OUTSIDE = {
    "curl/": set(),
    "jansson.h": {"model", "contract", "clearance"},
    "kiss_fft": {"features"},
    "nettle/": {"base", "audio"},
    "protobuf-c": {"model"},
    "dlfcn.h": {"engine"},
    "elf.h": {"engine"},
    "sndfile.h": {"audio"},
    "soxr.h": {"audio"},
    "utf8proc.h": {"model"},
    "yaml.h": {"model"},
    "zlib.h": {"model"},
    "immintrin.h": {"backend"},
    "cpuid.h": {"base"},
    "sanitizer/": {"base"},
    "Nv": {"engine"},
    "cuda.h": {"engine"},
    "dlfcn.h": {"engine"},
}
# Without a dot: part of ISO C or POSIX or Linux; anything else must be listed above.
SYSTEM = re.compile(r"^(sys|linux|asm|netinet|arpa)/[a-z0-9_]+\.h$")
STANDARD = set(
    """assert ctype dirent errno fcntl fenv float getopt glob inttypes langinfo limits locale malloc math poll
    pthread pwd regex sched semaphore signal stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib
    strings string termios time unistd wchar""".split()
)
BACKENDS = re.compile(
    r"\b(cuda|onnx|ort|tensorrt|trt|onednn|dnnl|mkl|openmp|sndfile|soxr|curl|jansson|nettle|kiss_?fft|yaml)\b", re.I
)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def check_outside(header, layer):
    for prefix, users in OUTSIDE.items():
        if header.startswith(prefix):
            return None if layer in users | {"cli"} else f"<{header}> belongs to {', '.join(sorted(users | {'cli'}))}"
    if SYSTEM.match(header) or header.removesuffix(".h") in STANDARD:
        return None
    return f"<{header}> is not known here: add it to tests/layers/includes.py with the layers that may use it"


def check_inside(header, layer, src):
    if header == "conure.h":
        return None
    first = header.split("/")[0]
    if first not in BELOW or "/" not in header:
        return f'"{header}": expected "layer/file.h", as seen from src/'
    if not (src / header).is_file() and not header.endswith(".pb-c.h"):
        return f'"{header}" does not exist'
    if first not in BELOW[layer]:
        return f'"{header}": {layer} may include {", ".join(sorted(BELOW[layer]))}'
    return None


def main():
    root = pathlib.Path(sys.argv[1])
    src = root / "src"
    found, files = [], sorted(p for p in src.rglob("*") if p.suffix in {".c", ".h", ".def"})
    for path in files:
        layer = path.relative_to(src).parts[0]
        where = path.relative_to(root)
        if layer not in BELOW:
            found.append(f"{where}: {layer} is not a layer; add it to LAYERS, in its place")
            continue
        for kind, header in INCLUDE.findall(path.read_text(encoding="utf-8")):
            why = check_outside(header, layer) if kind == "<" else check_inside(header, layer, src)
            if why:
                found.append(f"{where}: {why}")

    header = (root / "include" / "conure.h").read_text(encoding="utf-8")
    found += [f"conure.h: includes {name}" for _, name in INCLUDE.findall(header)
              if name not in {"stdbool.h", "stddef.h", "stdint.h"}]
    found += [f"conure.h: names {word}" for word in sorted({w.lower() for w in BACKENDS.findall(header)})]
    installed = sorted(p.name for p in (root / "include").rglob("*") if p.is_file())
    if installed != ["conure.h"]:
        found.append(f"include/ holds {installed}; the contract is one file")

    print("\n".join(found))
    print(f"includes.py: {len(files)} files, {len(found)} findings")
    return 1 if found or len(files) < 50 else 0


sys.exit(main())
