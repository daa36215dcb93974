"""A model of full size on a GPU: plans, parity, clearances and times, in an order of importance, within so many seconds.

    full.py CONURE SOURCE_DIR [--model MODEL] [--seconds 1500] [--reserve 200] [--builders 3] [--devices 0] [--folder FOLDER]
            [--precisions f32,f16,tf32,int8] [--only PLAN,..] [--manifest said.tsv --whole 592]

MODEL is random weights of parakeet-tdt-0.6b-v3's shapes when none is given.  Plans are built --builders at a time on each GPU (a build is one
thread of the host for minutes, and needs the GPU now and then), cleared as soon as they are there, and timed at the end with nothing beside
them, for which --reserve seconds are kept.  What the time did not reach is listed.  FOLDER keeps everything: model, plans, timing caches
(the next run of the same model and GPU is quicker for them), logs, results.json; without it a temporary one.  With a manifest of
recordings and what is said in them (a table with columns file and text), limits are measured on them and clearances hear them, for which
--whole must be as many mel frames as the longest has; without, the gate audio is left out, as random weights say nothing.  Exits with
77 where there is no GPU or no TensorRT.
"""
import argparse
import concurrent.futures
import csv
import json
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading
import time

options = argparse.ArgumentParser()
options.add_argument("conure")
options.add_argument("source", type=pathlib.Path)
options.add_argument("--seconds", type=float, default=1500)
options.add_argument("--reserve", type=float, default=200)
options.add_argument("--builders", type=int, default=3)
options.add_argument("--precisions", default="f32,f16,tf32,int8")
options.add_argument("--devices", default="0")
options.add_argument("--folder", type=pathlib.Path)
options.add_argument("--model", type=pathlib.Path)
options.add_argument("--only", default="")
options.add_argument("--manifest", type=pathlib.Path)
options.add_argument("--whole", type=int, default=592)
chosen = options.parse_args()
START = time.monotonic()
HELD = tempfile.TemporaryDirectory() if not chosen.folder else None
ROOM = chosen.folder or pathlib.Path(HELD.name)
MODEL, PLANS = chosen.model or ROOM / "full.conure", ROOM / "plans"
HEARD = []
if chosen.manifest:
    with open(chosen.manifest, newline="") as table:
        HEARD = [chosen.manifest.parent / row["file"] for row in csv.DictReader(table, delimiter="\t")]
CLIPS = sorted(str(p) for p in (chosen.source / "tests/data/audio").glob("*.flac"))
DEVICES = chosen.devices.split(",")
FREE = queue.Queue() # places to build at: the number of a GPU, as often as there are builders on it
for _ in range(chosen.builders):
    for device in DEVICES:
        FREE.put(device)
ENVIRONMENT = {**{k: v for k, v in os.environ.items() if not k.startswith("CONURE_")}, "CUDA_MODULE_LOADING": "LAZY"}
LOCK, LEFT, RESULTS = threading.Lock(), [], {"plans": [], "parity": [], "clearances": [], "times": []}

# (what, contract, options): a step of a contract's profile, or whole utterances; B = 1 where nothing else is said.
STEP = ("step", "step57", ["--profile", "all"])
OFFLINE = ["--profile", "offline", "--max-frames"]
WHOLE = (f"offline{chosen.whole}", None, [*OFFLINE, chosen.whole]) # whose plan a clearance hears whole recordings with
WIDE = ("offline592x32", None, [*OFFLINE, 592, "--batch", "32"])
PLANNED = [("f16", *STEP), ("f16", *WIDE), ("f16", *WHOLE), ("f32", *STEP), ("f32", *WHOLE), ("int8", *STEP), ("int8", *WHOLE),
           ("f16", "step57x32", "step57", ["--profile", "all", "--batch", "32"]),
           *([("f16", "offline1001", None, [*OFFLINE, 1001])] if chosen.whole != 1001 else []),
           ("f16", "step592", "reset", ["--profile", "first"]), ("f16", "step584", "reset", ["--profile", "later"]), ("tf32", *STEP), ("tf32", *WHOLE),
           ("f16", "offline592x8", None, [*OFFLINE, 592, "--batch", "8"]), ("f16", "step57x8", "step57", ["--profile", "all", "--batch", "8"]),
           ("f32", "step592", "reset", ["--profile", "first"]), ("f32", *WIDE)]
TIMED = {"step": ["--contract", "step57"], WHOLE[0]: ["--frames", chosen.whole], "offline592x32": ["--frames", "592", "--batch", "32"],
         "offline592x8": ["--frames", "592", "--batch", "8"], "step57x32": ["--contract", "step57", "--batch", "32"],
         "step57x8": ["--contract", "step57", "--batch", "8"], "offline1001": ["--frames", "1001"],
         "step592": ["--contract", "reset", "--frames", "592"], "step584": ["--contract", "reset", "--frames", "584"]}


THREADS = max(1, len(os.sched_getaffinity(0)) // (chosen.builders * len(DEVICES)))


def left():
    return chosen.seconds - (time.monotonic() - START)


def say(text):
    with LOCK:
        print(f"gpu.full: {time.monotonic() - START:6.0f} s  {text}", flush=True)


def conure(name, *arguments, limit, good=(0,)):
    """What it printed, or None when it failed or its time was up; the log keeps all."""
    log = ROOM / f"{name}.log"
    try:
        run = subprocess.run([chosen.conure, *map(str, arguments)], capture_output=True, text=True, timeout=max(limit, 1),
                             env={**ENVIRONMENT, "CONURE_PLANS": str(PLANS)})
    except subprocess.TimeoutExpired:
        with LOCK:
            LEFT.append(f"{name}: its time was up")
        return None
    log.write_text(run.stdout + run.stderr)
    if run.returncode in good:
        return run.stdout
    say(f"{name}: status {run.returncode}: {(run.stderr or run.stdout).strip().splitlines()[-1:]}")
    with LOCK:
        LEFT.append(f"{name}: status {run.returncode}")
    return None


def contract(name):
    return ROOM / f"{name}.json"


def prepare():
    if not chosen.model and not MODEL.exists():
        assert conure("model", "model", "random", "--seed", 1, "-o", MODEL, limit=300) is not None
    derive = ["contract", "derive", "-m", MODEL, "--cache", 256]
    one = [] if chosen.manifest else ["--schedule", "export", "--profiles", 57]  # who is heard has a first step of his own
    conure("step57", *derive, "--chunk", 6, "--shift", 3, *one, "-o", contract("step57"), limit=60)
    conure("reset", *derive, "--schedule", "export", "--profiles", "first=592,later=584", "--layout", "layer-first", "-o", contract("reset"), limit=60)
    say("model and contracts are there")


def noise():
    """Limits for every precision, of our own engines' distance to float64; bf16's is the next coarser that we have for f16 and tf32."""
    for ours, theirs in (("f32", ("f32",)), ("bf16", ("f16", "tf32")), ("int8", ("int8",))):
        out = ROOM / f"noise-{ours}.json"
        conure(f"noise-{ours}", "noise-floor", contract("step57"), "-m", MODEL, "--candidate", f"cpu:{ours}", "--chunks", 12, "--name", ours,
               "-o", out, *HEARD, limit=left() - chosen.reserve)
        for other in theirs if out.exists() else ():
            (ROOM / f"limits-{other}.json").write_text(out.read_text().replace(f'["{ours}"]', f'["{other}"]'))
    say("tolerances are there")


def build(job):
    precision, what, of, how = job
    name, device = f"{precision}-{what}", FREE.get()
    try:
        return job, build_on(device, name, what, precision, of, how)
    finally:
        FREE.put(device)


def build_on(device, name, what, precision, of, how):
    if left() < chosen.reserve + 30:
        with LOCK:
            LEFT.append(f"{name}: not begun")
        return False
    audio = ["--audio", *CLIPS] if precision in ("f16", "int8") else []
    begun = time.monotonic()
    out = conure(f"build-{name}", "engine", "build", "-m", MODEL, *(["--contract", contract(of)] if of else []), *how, "--fixed", "--precision", precision,
                 "--level", 2, "--device", device, "--threads", THREADS, "--timing-cache", ROOM / f"timing-{name}", *audio, limit=left() - chosen.reserve)
    if out is not None:
        say(f"{name}: built in {time.monotonic() - begun:.0f} s")
        with LOCK:
            RESULTS["plans"].append({"plan": name, "seconds": round(time.monotonic() - begun, 1), "said": out.strip()})
    return out is not None


def clear(precision):
    """Of tensors, and with a manifest of text: all gates."""
    config, folder = ROOM / f"clear-{precision}.json", ROOM / f"clearance-{precision}"
    config.write_text(json.dumps({
        "clearance": 1, "model": str(MODEL), "candidate": f"trt:{precision}@device={DEVICES[-1]}", "contract": str(contract("step57")), "threads": 8,
        "tolerances": str(ROOM / f"limits-{precision}.json"), "chunks": {"functional": 50, "closed_loop": 300, "noise": 6, "latency": 100},
        **({"audio": {"manifest": str(chosen.manifest), "live": "2-1-0.5"}} if chosen.manifest else
           {"not_applicable": {"audio": "random weights: what they say is no speech"}})}))
    conure(f"clear-{precision}", "clear", config, "-o", folder, "--redact", limit=left() - chosen.reserve, good=(0, 1, 2))
    try:
        report = json.loads((folder / "report.json").read_text())
    except OSError:
        with LOCK:
            LEFT.append(f"clearance of {precision}: no report")
        return
    verdicts = {gate["gate"]: gate["verdict"] for gate in report["gates"]}
    say(f"clearance of {precision}: {report['verdict']}: {', '.join(f'{g} {v}' for g, v in verdicts.items() if v != 'pass') or 'every gate passes'}")
    with LOCK:
        RESULTS["clearances"].append({"precision": precision, "verdict": report["verdict"], "gates": verdicts})


def may_clear(precision, jobs, ended, built):
    """A clearance steps its rows in a batch with the plan for several, where one is to be built, whose build must have ended either way."""
    mine = [job for job in jobs if job[0] == precision]
    return (all(job in built for job in mine if job[1] in ("step", WHOLE[0])) and all(job in ended for job in mine if job[1].startswith("step57x"))
            and {"step", WHOLE[0]} <= {job[1] for job in mine})


def clear_when(limits, precision):
    try:
        limits.result()
        clear(precision)
    except Exception as why:  # a thread's failure would be nobody's
        with LOCK:
            LEFT.append(f"clearance of {precision}: {why!r}")


def times(built):
    for precision, what, _, _ in built:
        how = [contract(x) if x in ("step57", "reset") else x for x in TIMED[what]]
        out = conure(f"time-{precision}-{what}", "engine", "time", "-m", MODEL, *how, "--engine", f"trt:{precision}", "--parts", 16384, "--json",
                     limit=min(60, left() - 5))
        for row in json.loads(out)["times"] if out else []:
            parts = sorted(row.pop("parts", []), key=lambda part: -part["seconds"])
            RESULTS["times"].append({"plan": f"{precision}-{what}", **row, "n_parts": len(parts), "longest": parts[:5]})
            say(f"{precision}-{what}: T {row['frames']} B {row['batch']}: GPU {1e3 * row['device_p50_s']:.3f} ms; clock {1e3 * row['p50_s']:.3f}, "
                f"{1e3 * row['p95_s']:.3f}, {1e3 * row['p99_s']:.3f}; {row.get('device_bytes', 0) / 2**30:.1f} GiB; {len(parts)} parts; "
                f"{row['batch'] * row['frames'] * 0.01 / row['p50_s']:.0f} s of slices a second")


def main():
    ROOM.mkdir(parents=True, exist_ok=True)
    prepare()
    wanted = chosen.precisions.split(",")
    jobs, ended, built, clearing = [job for job in PLANNED if job[0] in wanted], [], [], []
    if chosen.only:
        jobs = [job for job in jobs if job[1] in chosen.only.split(",")]
    with concurrent.futures.ThreadPoolExecutor(chosen.builders * len(DEVICES)) as builders, concurrent.futures.ThreadPoolExecutor(2) as clearers:
        limits = clearers.submit(noise)
        for future in concurrent.futures.as_completed([builders.submit(build, job) for job in jobs]):
            job, good = future.result()
            ended.append(job)
            built += [job] if good else []
            if job[0] not in clearing and may_clear(job[0], jobs, ended, built):
                clearing.append(job[0])
                clearers.submit(clear_when, limits, job[0])
    times(built)
    RESULTS["left"] = LEFT
    (ROOM / "results.json").write_text(json.dumps(RESULTS, indent=1))
    for what in LEFT:
        say(f"left: {what}")
    say(f"{len(built)} of {len(jobs)} plans, {len(RESULTS['clearances'])} clearances, {len(RESULTS['times'])} timings")
    return 0 if built and RESULTS["times"] else 1


rows = json.loads(subprocess.run([chosen.conure, "doctor", "--json"], capture_output=True, text=True, env=ENVIRONMENT).stdout or "[]")
found = next((row for row in rows if row["name"] == "tensorrt"), {"state": "missing", "value": "not in this build", "advice": ""})
if found["state"] != "good":
    print(f"gpu.full: SKIPPED, nothing ran on a GPU: {found['value']}: {found['advice']}", file=sys.stderr)
    sys.exit(77)
say(found["value"])
sys.exit(main())
