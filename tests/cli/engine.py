"""conure engine as its users see it, where there is no GPU.  engine.py CONURE SOURCE_DIR"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import wave

CONURE, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
TINY = SOURCE / "tests/data/models/tiny-v3.nemo"
GOOD = json.loads((SOURCE / "fuzz/corpus/plan_side/good.json").read_text())
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("CONURE_")}


class Engine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)
        cls.contract = cls.root / "contract"
        cls.run_conure("contract", "derive", "-m", TINY, "--chunk", 6, "--shift", 3, "--cache", 64, "-o", cls.contract)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def run_conure(cls, *arguments, code=0, **environment):
        run = subprocess.run([CONURE, *map(str, arguments)], capture_output=True, text=True, timeout=120, env={**ENVIRONMENT, **environment})
        assert run.returncode == code, (arguments, run.returncode, run.stderr)
        return run.stdout, run.stderr

    def test_times_steps(self):
        out = json.loads(self.run_conure("engine", "time", "-m", TINY, "--contract", self.contract, "--engine", "cpu:f32@threads=1", "--batch", "1,3",
                                         "--steps", 5, "--json")[0])
        self.assertIn("cpu f32", out["engine"])
        # The first step drops nothing, later ones two frames: the contract's two profiles.
        self.assertEqual([(t["frames"], t["batch"], t["drop_first"]) for t in out["times"]], [(41, 1, 0), (41, 3, 0), (57, 1, 2), (57, 3, 2)])
        for t in out["times"]:
            self.assertEqual(t["n"], 5)
            self.assertTrue(0 < t["min_s"] <= t["p50_s"] <= t["p95_s"] <= t["p99_s"] < 60)
            self.assertFalse(t["offline"])

    def test_times_every_profile(self):
        contract = json.loads(self.contract.read_text())
        contract["profiles"] = [{**contract["profiles"][i > 0], "name": f"p{i}"} for i in range(10)]
        many = self.root / "many.json"
        many.write_text(json.dumps(contract))
        out = self.run_conure("engine", "time", "-m", TINY, "--contract", many, "--engine", "cpu@threads=1", "--steps", 1, "--json")[0]
        self.assertEqual(len(json.loads(out)["times"]), 10)

    def test_what_a_build_does_not_take(self):
        """Nothing is passed over in silence; a build without TensorRT's headers says that first, whatever is asked for."""
        code = subprocess.run([CONURE, "engine", "build"], capture_output=True, env=ENVIRONMENT).returncode
        silent = self.root / "silent.wav"
        with wave.open(str(silent), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(bytes(32000))
        for arguments, words in ((["--contract", self.contract, "--mask", "exact"], "--mask exact was asked for, and the contract says nemo"),
                                 (["--contract", self.contract, "--max-frames", 2000], "--max-frames is of --profile offline"),
                                 (["--profile", "offline", "--precision", "int8", "--audio", silent], f"{silent}: nothing but digital silence"),
                                 (["--profile", "offline", "--device", 256], "--device")):
            err = self.run_conure("engine", "build", "-m", TINY, *arguments, code=2 if "--device" in arguments else code)[1]
            self.assertRegex(err, f"{re.escape(words)}|CONURE_TENSORRT_INCLUDE")
        self.assertIn("device=N,library=PATH", self.run_conure("engine", "time", "--help")[0].replace("\n", ""))

    def test_times_utterances(self):
        out = self.run_conure("engine", "time", "-m", TINY, "--frames", "64,120", "--steps", 3)[0]
        self.assertEqual([line.split()[:3] for line in out.splitlines()[2:]], [["offline", "64", "1"], ["offline", "120", "1"]])

    def test_wrong(self):
        for arguments, code, text in (
                ([], 2, "name a --contract"), (["--frames", "0"], 2, "--frames 0"), (["--frames", "9,"], 0, ""),
                (["--frames", ",".join("1" * 17)], 2, "up to 16"),
                (["--frames", "9", "--batch", "x"], 2, "--batch x"), (["--frames", "9", "--engine", "nonsense"], 3, "nonsense"),
                (["--contract", SOURCE / "contracts/encoder_streaming.contract.json"], 1, "contract")):
            self.assertIn(text, self.run_conure("engine", "time", "-m", TINY, "--steps", 1, *arguments, code=code)[1])

    def test_lists_plans(self):
        plans = self.root / "plans"
        out, err = self.run_conure("engine", "list", CONURE_PLANS=str(plans))
        self.assertEqual(out, "")
        self.assertIn(f"{plans} holds no plans", err)
        plans.mkdir()
        os.mkfifo(plans / "pipe.json")
        idle = os.open(plans / "pipe.json", os.O_RDWR)
        (plans / "a.json").write_text(json.dumps(GOOD))
        (plans / "b.json").write_text(json.dumps({**GOOD, "t": [3, 2, 1]}))
        out, err = self.run_conure("engine", "list", plans)
        self.assertIn(f"{plans}/a.plan", out)
        self.assertIn("f16, mask nemo, step T 57..57 B 1..8 drop 2 cache 256, NVIDIA H200, TensorRT 8.6.0", out)
        self.assertIn("t is not three rising numbers", err)
        self.assertIn("pipe.json: is no regular file", err)
        os.close(idle)

    def test_names_that_a_terminal_obeys(self):
        """Neither what a file is called nor what is in it reaches the terminal as a control sequence; other scripts do."""
        plans = self.root / "names"
        plans.mkdir()
        for name, model in (("a\u009b31m", "m"), ("b\u202e", "m"), ("c", "x\u009b31mRED"), ("d", "x\u2067y"), ("e", "\u0645\u06cc\u200c\u0634\u0648\u062f")):
            (plans / f"{name}.json").write_text(json.dumps({**GOOD, "model": model}))
        out, err = self.run_conure("engine", "list", plans)
        self.assertNotRegex(out + err, "[\u0080-\u009f\u202e\u2067]")
        self.assertEqual([line.rsplit("/", 1)[1] for line in out.splitlines()[::2]], [r"a\xc2\x9b31m.plan", r"b\xe2\x80\xae.plan", "e.plan"])
        self.assertIn("\u0645\u06cc\u200c\u0634\u0648\u062f", out)
        self.assertEqual(err.count("model holds a control character"), 2)

    def test_trt_is_refused_with_the_way_to_it(self):
        err = self.run_conure("engine", "time", "-m", TINY, "--engine", "trt:f32", "--frames", 64, code=3, CONURE_PLANS=str(self.root / "none"))[1]
        self.assertRegex(err, "CONURE_TENSORRT_INCLUDE|libcuda|libnvinfer|no plan of this model")

    def test_a_library_that_is_not_there(self):
        """Said before a GPU that is missing, in builds that have the engine; the folder for plans is not made."""
        none, plans = self.root / "no-library", self.root / "no-plans"
        none.mkdir()
        for arguments in (["build", "--profile", "offline", "--plans", plans, "--library", none],
                          ["time", "--frames", 64, "--engine", f"trt:f32@library={none}"]):
            err = self.run_conure("engine", *arguments, "-m", TINY, code=3)[1]
            self.assertRegex(err, rf"CONURE_TENSORRT_INCLUDE|{re.escape(str(none))}: no libnvinfer.so.\d+ in this folder: name the one of TensorRT \d+ that holds it")
        self.assertFalse(plans.exists())


unittest.main(argv=sys.argv[:1])
