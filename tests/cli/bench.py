"""conure bench --stream: figures that cannot contradict one another.  bench.py CONURE SOURCE_DIR"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

CONURE, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])
SPEECH = str(SOURCE / "tests/data/audio/goforward.flac")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits "ignore", and would pass it on
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("CONURE_", "XDG_")) and k != "NO_COLOR"}


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)
        cls.model = str(cls.root / "mini.conure")
        subprocess.run([CONURE, "model", "random", "--preset", "mini", "-w", "int8", "-o", cls.model], check=True,
                       capture_output=True, env=ENVIRONMENT)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def bench(self, *arguments, code=0):
        run = subprocess.run([CONURE, "bench", "--stream", "-m", self.model, *map(str, arguments)], capture_output=True, timeout=120,
                             env=ENVIRONMENT)
        self.assertEqual(run.returncode, code, run.stderr.decode())
        return run.stdout.decode("utf-8"), run.stderr.decode("utf-8")

    def rows(self, *arguments):
        return json.loads(self.bench("--json", *arguments)[0])["stream"]["rows"]

    def ascending(self, times):
        order = [times[key] for key in ("min_s", "p50_s", "p95_s", "p99_s", "max_s")]
        self.assertEqual(order, sorted(order))

    def sound(self, row, sessions):
        """What holds for every row whatever the machine."""
        self.ascending(row["step"])
        self.ascending(row["word_to_text"])
        self.assertLess(0, row["step"]["min_s"])
        window, chunk = row["window_s"], row["chunk_s"]
        self.assertAlmostEqual(row["amplification"], window / chunk, places=4)
        contexts = row["left_s"] + chunk + row["right_s"]
        if row["mode"] == "buffered":
            self.assertAlmostEqual(window, contexts, places=4)
            self.assertAlmostEqual(row["latency_s"], chunk + row["right_s"], places=3)
        else:  # the slice, and 9 mel frames before it
            self.assertAlmostEqual(window, chunk + row["right_s"] + 0.09, places=4)
        # One feed of 10 ms may lie between a step being possible and being made.
        self.assertLessEqual(row["word_to_text_audio"]["max_s"], row["latency_s"] + 0.011)
        self.assertLessEqual(row["word_to_text_audio"]["p50_s"], row["word_to_text"]["p50_s"])
        shares = row["share_of_step"]
        self.assertAlmostEqual(sum(shares.values()), 1, places=4)
        self.assertTrue(all(0 <= share <= 1 for share in shares.values()), shares)
        self.assertAlmostEqual(row["alone"]["audio_s"], row["step"]["n"] * chunk, places=3)
        self.assertEqual(row["batched_sessions"], sessions)
        self.assertLessEqual(1, row["batch_mean"])
        self.assertLessEqual(row["batch_mean"], sessions)
        self.assertLess(0, row["batched_gain"])
        for pace in (row["alone"], row["batched"]):
            self.assertAlmostEqual(pace["sessions"], pace["audio_s"] / pace["wall_s"], delta=1e-3 * pace["sessions"])
            self.assertLess(0, pace["sessions_per_core"])
        # The audio of the window, and little else of this small model.
        self.assertLess(4 * 16000 * (window if row["mode"] == "buffered" else chunk), row["session_bytes"])
        self.assertLess(row["session_bytes"], 8e6)


class Streams(Case):
    def test_all(self):
        rows = self.rows("--seconds", 2, "--sessions", 2)
        self.assertEqual([(row["name"], row["mode"]) for row in rows],
                         [(name, "buffered") for name in ("file", "live", "fast", "fastest")] +
                         [(name, "cache") for name in ("live", "fast", "fastest")])
        for row in rows:
            self.sound(row, 2)
            self.assertIsNone(row["live"])

    def test_some(self):
        rows = self.rows("--preset", "2-1-0.5,1-0.08-0", "--mode", "cache", "--seconds", 3, "--sessions", 5, "--live", 0.2, SPEECH)
        self.assertEqual([row["name"] for row in rows], ["2-1-0.5", "1-0.08-0"])
        self.assertAlmostEqual(rows[0]["left_s"], 2)
        self.assertAlmostEqual(rows[1]["chunk_s"], 0.08)
        for row in rows:
            self.sound(row, 5)
            self.assertEqual(row["live"]["seconds"], 0.2)
            self.assertLess(0, row["live"]["lag_max_s"])
            if row["live"]["sessions"]:
                self.assertLessEqual(row["live"]["lag_max_s"], row["chunk_s"])

    def test_text(self):
        out, err = self.bench("--preset", "1-0.32-0.24", "--seconds", 1, "--threads", 1, "--live", 0.2)
        self.assertEqual(err, "")
        for text in ("a step alone", "word p95 s", "1-0.32-0.24  buffered", "in real time"):
            self.assertIn(text, out)

    def test_refused(self):
        for arguments, text in (
            (["--preset", "nonsense"], "LEFT-CHUNK-RIGHT"), (["--preset", "live,"], "contexts ''"), (["--seconds", "1,2"], "one number"),
            (["--preset", ",".join(["live"] * 17)], "at most"), (["--runs", 3], "--seconds"), (["--sessions", 0], "--sessions"),
            (["--mode", "reset"], "buffered, cache"),
        ):
            self.assertIn(text, self.bench(*arguments, code=2)[1])
        run = subprocess.run([CONURE, "bench", "--preset", "live"], capture_output=True, env=ENVIRONMENT)
        self.assertEqual(run.returncode, 2)
        self.assertIn(b"need --stream", run.stderr)
        self.bench("--preset", "600-1-0", "--memory", "1M", code=3)

    def test_interrupt(self):
        process = subprocess.Popen([CONURE, "bench", "--stream", "-m", self.model, "--seconds", "80000"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=ENVIRONMENT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out, err), (130, b"", b"conure: interrupted\n"))


class Figures(unittest.TestCase):
    def test_drawn_from_the_report(self):
        """The figures in docs are those of the report beside them."""
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, SOURCE / "scripts/figures_stream.py", SOURCE / "docs/performance/streaming.json", folder], check=True)
            for path in sorted(pathlib.Path(folder).iterdir()):
                self.assertEqual(path.read_bytes(), (SOURCE / "docs/figures" / path.name).read_bytes(), path.name)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
