"""conure pull and the transfer behind it against a local hub that also lies: pull.py CONURE SOURCE_DIR PULL_DRIVER."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hub

CONURE, DRIVER = sys.argv[1], sys.argv[3]
OK, IO, BAD_FILE, LIMIT, CANCELLED = 0, -3, -4, -6, -7
KNOWN, SERVER, SIZE = 1, 2, 3
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits "ignore", and would pass it on
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}


class Transfer(unittest.TestCase):
    """The library function: pull_driver."""

    def setUp(self):
        self.server = hub.Server()
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name) / "model.bin"
        self.part = pathlib.Path(str(self.path) + ".part")
        self.error = ""

    def tearDown(self):
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()

    def pull(self, name, sha256="-", bytes_max=10_000_000, attempts=5, stall_s=5):
        command = [DRIVER, "%s/o/r/resolve/main/%s" % (self.server.url, name), str(self.path), sha256,
                   str(bytes_max), str(attempts), str(stall_s)]
        run = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
        lines = run.stdout.splitlines()
        self.assertNotIn("progress beyond the total", lines, run.stdout)
        self.notes = [line for line in lines if line.startswith("note: ")]
        lines = [line for line in lines if not line.startswith("note: ")]
        self.assertTrue(lines, run.stderr)
        self.status, self.check, self.bytes, self.resumed, self.was_there = map(int, lines[0].split())
        self.error = lines[1] if len(lines) > 1 else ""
        return self.status

    def assert_complete(self, content=hub.CONTENT):
        self.assertEqual(self.path.read_bytes(), content)
        self.assertEqual(os.listdir(self.folder.name), ["model.bin"])  # nothing left beside it

    def assert_nothing(self, kept):
        """No file under the final name; kept: a partial one stays for the next run."""
        self.assertFalse(self.path.exists())
        self.assertEqual(self.part.exists(), kept, self.error)
        if kept:
            self.assertGreater(self.part.stat().st_size, 0)
        else:
            self.assertEqual(os.listdir(self.folder.name), [])

    def test_plain(self):
        self.assertEqual(self.pull("good.bin"), OK, self.error)
        self.assertEqual(self.check, SIZE)
        self.assert_complete()

    def test_known_hash(self):
        self.assertEqual(self.pull("good.bin", hub.SHA256), OK, self.error)
        self.assertEqual((self.check, self.bytes), (KNOWN, len(hub.CONTENT)))
        self.assert_complete()
        before = len(self.server.requests)
        self.assertEqual(self.pull("good.bin", hub.SHA256), OK)
        self.assertTrue(self.was_there)
        self.assertEqual(len(self.server.requests), before)

    def test_known_hash_replaces_a_wrong_file(self):
        self.path.write_bytes(b"not the model")
        self.assertEqual(self.pull("good.bin", hub.SHA256), OK, self.error)
        self.assertIn("fetching it anew", self.notes[0])
        self.assert_complete()

    def test_wrong_content(self):
        self.assertEqual(self.pull("good.bin", "0" * 64), BAD_FILE)
        self.assertIn("SHA-256 is " + hub.SHA256, self.error)
        self.assertIn("known to this program", self.error)
        self.assert_nothing(kept=False)

    def test_hash_named_by_the_hub(self):
        self.assertEqual(self.pull("linked.bin"), OK, self.error)
        self.assertEqual(self.check, SERVER)
        self.assert_complete()

    def test_hub_and_storage_disagree(self):
        self.assertEqual(self.pull("linkedbad.bin"), BAD_FILE)
        self.assertIn("named by the server", self.error)
        self.assert_nothing(kept=False)
        self.assertEqual(self.pull("linkedsize.bin"), BAD_FILE)
        self.assertIn("the hub says 17 bytes", self.error)

    def test_breaks_are_resumed(self):
        self.assertEqual(self.pull("breaks.bin"), OK, self.error)
        self.assert_complete()
        ranges = [r[1:] for r in self.server.requests]
        self.assertEqual(ranges, [(None, None), ("bytes=80000-", '"v1"'), ("bytes=160000-", '"v1"'),
                                  ("bytes=240000-", '"v1"')])

    def test_breaks_too_often(self):
        self.assertEqual(self.pull("breaks.bin", attempts=2), IO)
        self.assertIn("2 attempts", self.error)
        self.assert_nothing(kept=True)
        self.assertEqual(self.pull("breaks.bin", attempts=2), OK, self.error)  # the next run goes on
        self.assertEqual(self.resumed, 160_000)
        self.assert_complete()

    def test_end_without_length(self):
        self.assertEqual(self.pull("breaksold.bin"), BAD_FILE)
        self.assertEqual(self.pull("breaksold.bin"), OK, self.error)
        self.assert_complete()

    def test_server_without_ranges(self):
        self.assertEqual(self.pull("norange.bin"), OK, self.error)
        self.assertEqual(self.resumed, 0)
        self.assert_complete()

    def test_wrong_range(self):
        self.assertEqual(self.pull("wrongrange.bin"), OK, self.error)
        self.assertTrue(any("starting over" in n for n in self.notes), self.notes)
        self.assert_complete()

    def test_file_changed_between_runs(self):
        self.assertEqual(self.pull("stable.bin", attempts=1), IO)
        self.assert_nothing(kept=True)
        self.server.changed = True
        self.assertEqual(self.pull("stable.bin"), OK, self.error)
        self.assertEqual(self.resumed, 0)
        self.assert_complete(hub.CHANGED)

    def test_without_a_version_it_starts_over(self):
        for name in ("noetag.bin", "weak.bin"):
            self.assertEqual(self.pull(name), OK, self.error)
            self.assertEqual([r[1] for r in self.server.requests if r[0].endswith(name)], [None, None])
            self.assert_complete()
            self.path.unlink()

    def test_without_a_version_but_known(self):
        self.assertEqual(self.pull("noetag.bin", hub.SHA256), OK, self.error)
        self.assertEqual(self.server.requests[1][1:], ("bytes=120000-", None))
        self.assert_complete()

    def test_stale_part_of_another_file(self):
        self.part.write_bytes(b"x" * 1000)
        self.assertEqual(self.pull("good.bin", hub.SHA256), OK, self.error)
        self.assertTrue(any("starting over" in n for n in self.notes), self.notes)
        self.assert_complete()

    def test_complete_part(self):
        self.part.write_bytes(hub.CONTENT)
        self.assertEqual(self.pull("good.bin", hub.SHA256), OK, self.error)  # 416 with the same length
        self.assert_complete()

    def test_part_longer_than_the_file(self):
        self.part.write_bytes(hub.CONTENT + b"more")
        self.assertEqual(self.pull("good.bin", hub.SHA256), OK, self.error)
        self.assert_complete()

    def test_lying_lengths(self):
        self.assertEqual(self.pull("longer.bin", attempts=2), IO)
        self.assert_nothing(kept=True)
        self.part.unlink()
        self.assertEqual(self.pull("shorter.bin", hub.SHA256), BAD_FILE)
        self.assert_nothing(kept=False)

    def test_size_limit(self):
        for name in ("huge.bin", "endless.bin"):
            self.assertEqual(self.pull(name, bytes_max=1_000_000), LIMIT, self.error)
            self.assertFalse(self.path.exists())
            if name == "huge.bin":
                self.assert_nothing(kept=False)
            elif self.part.exists():
                self.assertLessEqual(self.part.stat().st_size, 1_000_000)
                self.part.unlink()

    def test_stall(self):
        start = time.monotonic()
        self.assertEqual(self.pull("stalls.bin", attempts=1, stall_s=1), IO)
        self.assertLess(time.monotonic() - start, 10)
        self.assert_nothing(kept=True)

    def test_busy_server(self):
        self.assertEqual(self.pull("busy.bin"), OK, self.error)
        self.assertEqual(len(self.server.requests), 3)
        self.assert_complete()

    def test_dead_servers(self):
        for name, attempts, text in (("broken.bin", 3, "HTTP 500"), ("hangup.bin", 3, "attempts"),
                                     ("garbage.bin", 1, "")):
            self.assertEqual(self.pull(name, attempts=3), IO)
            self.assertIn(text, self.error)
            self.assertEqual(self.server.counts["/o/r/resolve/main/" + name], attempts)
            self.assert_nothing(kept=False)

    def test_refusals_are_not_repeated(self):
        for name, text in (("nothing.bin", "not there"), ("private.bin", "login"), ("errorpage.bin", "not there"),
                           ("loop.bin", "redirects"), ("file.bin", "https")):
            self.assertEqual(self.pull(name), IO, name)
            self.assertIn(text, self.error)
            self.assert_nothing(kept=False)
            if name != "loop.bin":
                self.assertEqual(self.server.counts["/o/r/resolve/main/" + name], 1)
        self.assertLessEqual(self.server.counts["/o/r/resolve/main/loop.bin"], 9)

    def test_no_server(self):
        self.server.shutdown()
        self.server.server_close()
        self.assertEqual(self.pull("good.bin", attempts=2), IO)
        self.assert_nothing(kept=False)

    def test_empty_file(self):
        self.assertEqual(self.pull("empty.bin"), OK, self.error)
        self.assert_complete(b"")

    def test_folder_not_there(self):
        self.path = pathlib.Path(self.folder.name) / "no" / "model.bin"
        self.assertEqual(self.pull("good.bin"), IO)
        self.assertIn("model.bin.part", self.error)

    def test_full_disk(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        # A file size limit is what a test can have of a full disk without being root.
        command = "ulimit -f 100; trap '' XFSZ; exec %s %s/o/r/resolve/main/good.bin %s - 9999999 2 5" % (
            DRIVER, self.server.url, self.path)
        run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
        self.assertEqual(run.stdout.split()[0], str(IO), run.stdout)
        self.assertIn("make room", run.stdout)
        self.assert_nothing(kept=True)
        self.assertEqual(self.pull("good.bin"), OK, self.error)
        self.assertGreater(self.resumed, 0)
        self.assert_complete()

    def test_two_at_once(self):
        command = [DRIVER, "%s/o/r/resolve/main/stalls.bin" % self.server.url, str(self.path), "-", "9999999", "1", "5"]
        first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        while not (self.part.exists() and self.part.stat().st_size > 0):
            time.sleep(0.01)
        self.assertEqual(self.pull("good.bin"), IO)
        self.assertIn("another conure", self.error)
        first.send_signal(signal.SIGINT)
        self.assertEqual(first.communicate(timeout=30)[0].split()[0], str(CANCELLED))
        self.assert_nothing(kept=True)


class Command(unittest.TestCase):
    """conure pull."""

    def setUp(self):
        self.server = hub.Server()
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()

    def conure(self, *arguments, **extra):
        environment = {**ENVIRONMENT, "CONURE_HUB": self.server.url + "/", "XDG_CACHE_HOME": str(self.root / "cache"),
                       **extra}
        return subprocess.run([CONURE, *arguments], capture_output=True, text=True, env=environment, timeout=60)

    def test_known_model_with_wrong_content(self):
        run = self.conure("pull", "parakeet-tdt-0.6b-v3")
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertIn("expected 3cbdc858", run.stderr)
        self.assertIn("plain http", run.stderr)
        self.assertEqual(self.server.requests[0][0],
                         "/nvidia/parakeet-tdt-0.6b-v3/resolve/main/parakeet-tdt-0.6b-v3.nemo")
        self.assertEqual(list((self.root / "cache/conure/models/parakeet-tdt-0.6b-v3").iterdir()), [])

    def test_files_of_a_repository(self):
        run = self.conure("pull", "owner/repo", "linked.nemo", "good.txt", "--revision", "v1.0")
        self.assertEqual(run.returncode, 0, run.stderr)
        paths = [self.root / "cache/conure/models/owner/repo" / name for name in ("linked.nemo", "good.txt")]
        self.assertEqual(run.stdout.splitlines(), [str(p) for p in paths])
        self.assertEqual([p.read_bytes() for p in paths], [hub.CONTENT] * 2)
        self.assertIn("the hub names", run.stderr)
        self.assertIn("size only", run.stderr)
        self.assertIn(hub.SHA256, run.stderr)
        self.assertIn("/resolve/v1.0/", self.server.requests[0][0])
        # -m finds what was fetched: the error is about the content, not about a file that is not there.
        run = self.conure("model", "info", "owner/repo")
        self.assertIn("owner/repo/linked.nemo", run.stderr)
        self.assertNotEqual(run.returncode, 0)

    def test_to_a_folder(self):
        run = self.conure("pull", "--to", str(self.root / "a/b"), "-q", "owner/repo", "good.txt")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual((self.root / "a/b/good.txt").read_bytes(), hub.CONTENT)
        self.assertNotIn("good.txt", run.stderr)

    def test_usage(self):
        for arguments in (["pull"], ["pull", "nosuchmodel"], ["pull", "owner/repo"], ["pull", "../x", "f"],
                          ["pull", "owner/repo", "../f"], ["pull", "owner/repo", "a/b"], ["pull", "owner/repo", ".f"],
                          ["pull", "a/b/c", "f"], ["pull", "parakeet-tdt-0.6b-v3", "other"],
                          ["pull", "--revision", "../..", "owner/repo", "f"]):
            run = self.conure(*arguments)
            self.assertEqual(run.returncode, 2, arguments)
        self.assertEqual(self.server.requests, [])

    def test_other_failures(self):
        self.assertEqual(self.conure("pull", "owner/repo", "nothing.bin").returncode, 3)
        run = self.conure("pull", "owner/repo", "good.bin", CONURE_HUB="ftp://127.0.0.1")
        self.assertEqual(run.returncode, 3)
        self.assertIn("CONURE_HUB", run.stderr)
        run = self.conure("pull", "owner/repo", "good.bin", "--size-max", "1K")
        self.assertEqual(run.returncode, 3)
        run = self.conure("pull", "owner/repo", "good.bin", XDG_CACHE_HOME="", HOME="")
        self.assertEqual(run.returncode, 3)
        self.assertIn("XDG_CACHE_HOME", run.stderr)

    def test_list(self):
        run = self.conure("pull", "--list")
        self.assertEqual(run.returncode, 0)
        self.assertIn("parakeet-tdt-0.6b-v3\tnvidia/", run.stdout)

    def test_not_fetched_yet(self):
        run = self.conure("model", "info", "parakeet-tdt-0.6b-v3")
        self.assertEqual(run.returncode, 3)
        self.assertIn("conure pull parakeet-tdt-0.6b-v3", run.stderr)

    def test_interrupt_keeps_what_came(self):
        command = [CONURE, "pull", "--to", str(self.root), "owner/repo", "stalls.bin"]
        run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True,
                               env={**ENVIRONMENT, "CONURE_HUB": self.server.url})
        part = self.root / "stalls.bin.part"
        while not (part.exists() and part.stat().st_size > 0):
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=30)
        self.assertEqual(run.returncode, 130, errors)
        self.assertGreater(part.stat().st_size, 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
