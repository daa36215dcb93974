"""A report of conure clear in a browser: nothing on the console, nothing wider than a phone, every plot drawn.
page.py CONURE SOURCE_DIR      (needs chromium; without it the test is skipped with status 77)"""

import base64
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

CONURE, SOURCE = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).absolute()
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Tab:
    """The DevTools protocol of one page over a web socket, as far as it is needed here."""

    def __init__(self, url):
        host, port, path = re.match(r"ws://([^:/]+):(\d+)(/.*)", url).groups()
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self.rest = b""
        while b"\r\n\r\n" not in self.rest:
            self.rest += self.socket.recv(4096)
        self.rest = self.rest.split(b"\r\n\r\n", 1)[1]
        self.n, self.events = 0, []

    def take(self, n):
        while len(self.rest) < n:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError("the browser closed the connection")
            self.rest += more
        data, self.rest = self.rest[:n], self.rest[n:]
        return data

    def message(self):
        whole = b""
        while True:
            first, size = self.take(2)
            size &= 127
            if size == 126:
                size = struct.unpack(">H", self.take(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self.take(8))[0]
            whole += self.take(size)
            if first & 128:
                return json.loads(whole)

    def call(self, method, **params):
        self.n += 1
        data = json.dumps({"id": self.n, "method": method, "params": params}).encode()
        size = bytes([128 | len(data)]) if len(data) < 126 else bytes([254]) + struct.pack(">H", len(data))
        self.socket.sendall(b"\x81" + size + bytes(4) + data)  # a mask of zeros
        while True:
            answer = self.message()
            if answer.get("id") == self.n:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def value(self, expression):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        root = pathlib.Path(cls.folder.name)
        model = SOURCE / "tests/data/models/tiny-v3.nemo"
        subprocess.run([CONURE, "contract", "derive", "-m", model, "--cache", "64", "--chunk", "8", "--shift", "1", "--schedule", "export",
                        "--profiles", "121", "-o", root / "k.json"], check=True)
        (root / "c.json").write_text(json.dumps({
            "model": str(model), "candidate": "cpu:int8", "contract": "k.json", "threads": 1,
            "chunks": {"functional": 12, "closed_loop": 30, "noise": 2, "latency": 20, "self_test": 4}, "not_applicable": {"audio": "random weights"}}))
        done = subprocess.run([CONURE, "clear", root / "c.json", "-o", root / "out"], capture_output=True, text=True, timeout=200)
        assert done.returncode == 1, done.stdout + done.stderr  # int8 by the published table
        cls.browser = subprocess.Popen([BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0",
                                        "--no-first-run", f"--user-data-dir={root}/profile", "about:blank"], stderr=subprocess.PIPE, text=True,
                                       env=dict(os.environ, HOME=str(root)))
        port = None
        for line in cls.browser.stderr:
            if match := re.search(r"DevTools listening on ws://[^:]+:(\d+)/", line):
                port = match.group(1)
                break
        assert port, "the browser did not start"
        threading.Thread(target=cls.browser.stderr.read, daemon=True).start()
        pages = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=30))
        cls.tab = Tab(next(p["webSocketDebuggerUrl"] for p in pages if p["type"] == "page"))
        for domain in ("Page", "Runtime", "Log", "Network"):
            cls.tab.call(f"{domain}.enable")
        cls.url = (root / "out/report.html").as_uri()

    @classmethod
    def tearDownClass(cls):
        cls.browser.terminate()
        cls.browser.wait(30)
        cls.folder.cleanup()

    def open(self, width, dark):
        tab = self.tab
        tab.events.clear()
        tab.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
        tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        tab.call("Page.navigate", url=self.url)
        deadline = time.time() + 30
        while not (tab.value("document.readyState") == "complete" and tab.value("location.href") == self.url) and time.time() < deadline:
            time.sleep(0.05)

    def test_every_width(self):
        for width in (360, 390, 1280):
            for dark in (False, True):
                with self.subTest(width=width, dark=dark):
                    self.open(width, dark)
                    told = [e for e in self.tab.events if e.get("method") in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")]
                    self.assertEqual(told, [])
                    asked = {e["params"]["request"]["url"] for e in self.tab.events if e.get("method") == "Network.requestWillBeSent"}
                    self.assertLessEqual(asked, {self.url})
                    self.assertLessEqual(self.tab.value("document.documentElement.scrollWidth"), width)
                    drawn = self.tab.value("[...document.querySelectorAll('svg')].map(s => [s.getBoundingClientRect().width, s.getBoundingClientRect().height, "
                                           "s.querySelectorAll('path,polyline,rect,circle,line').length, s.querySelectorAll('text').length])")
                    self.assertGreaterEqual(len(drawn), 4)
                    for w, h, marks, texts in drawn:
                        self.assertTrue(w > 250 and h > 100 and marks >= 3 and texts > 3, (w, h, marks, texts))
                    top = self.tab.value("document.querySelector('h1').getBoundingClientRect().bottom")
                    self.assertLess(top, 400)
                    self.assertIn("not cleared", self.tab.value("document.querySelector('h1').textContent").lower())
                    same = self.tab.value("getComputedStyle(document.body).color == getComputedStyle(document.body).backgroundColor")
                    self.assertFalse(same)


if __name__ == "__main__":
    if not BROWSER:
        print("page.py: skipped: no chromium here", file=sys.stderr)
        sys.exit(77)
    unittest.main(argv=sys.argv[:1], verbosity=2)
