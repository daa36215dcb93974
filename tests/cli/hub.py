"""A hub on the loopback interface that behaves as a hub should, or in one of the ways in which servers do not.

/OWNER/REPO/resolve/REVISION/FILE: the first part of FILE up to a '.' is the behaviour, see Handler."""

import hashlib
import http.server
import socketserver
import threading
import time

CONTENT = bytes((i * 7 + i // 251) % 256 for i in range(300_000))
CHANGED = CONTENT[::-1]
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.counts = {}     # requests for each path
        self.requests = []   # (path, Range, If-Range)
        self.changed = False # the file behind /stable.* is another one now
        self.url = "http://127.0.0.1:%d" % self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # clients that hang up are part of the tests


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        self.count = server.counts[self.path] = server.counts.get(self.path, 0) + 1
        behaviour = self.path.rsplit("/", 1)[1].split(".")[0].replace("-", "_")
        getattr(self, "serve_" + behaviour, self.serve_missing)()

    # ---- pieces

    def send(self, code, headers, body=b""):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def drop(self):
        self.wfile.flush()
        self.close_connection = True

    def first_byte(self, content, etag):
        """Where the client wants to go on, 0 when its version is another one, None beyond the end."""
        wanted = self.headers.get("Range")
        if not wanted or (self.headers.get("If-Range") or etag) != etag:
            return 0
        first = int(wanted.removeprefix("bytes=").removesuffix("-"))
        return first if first < len(content) else None

    def serve(self, content, etag='"v1"', most=None, extra=None):
        """The content honestly, with ranges; hangs up after `most` bytes."""
        first = self.first_byte(content, etag)
        if first is None:
            return self.send(416, {"Content-Range": "bytes */%d" % len(content), "Content-Length": 0})
        body = content[first:]
        headers = {"Content-Length": len(body), **(extra or {})}
        if etag:
            headers["ETag"] = etag
        if first:
            headers["Content-Range"] = "bytes %d-%d/%d" % (first, len(content) - 1, len(content))
        self.send(206 if first else 200, headers, body[:most] if most is not None else body)
        if most is not None and most < len(body):
            self.drop()

    # ---- behaviours

    def serve_missing(self):
        self.send(404, {"Content-Length": 5}, b"gone\n")

    def serve_good(self):
        self.serve(CONTENT)

    def serve_parakeet_tdt_0(self):  # the name of a known model, not its content
        self.serve(CONTENT)

    def serve_linked(self):  # as the real hub: a redirect that names the hash, to another path
        self.send(302, {"Location": "/x/cdn.bin", "X-Linked-Etag": '"%s"' % SHA256,
                        "X-Linked-Size": len(CONTENT), "ETag": '"hub"', "Content-Length": 9}, b"elsewhere")

    def serve_cdn(self):
        self.serve(CONTENT, '"cdn"', extra={"X-Linked-Etag": '"%s"' % ("0" * 64)})  # a stranger's word: ignored

    def serve_linkedbad(self):
        self.send(302, {"Location": "/x/cdnbad.bin", "X-Linked-Etag": '"%s"' % SHA256, "Content-Length": 0})

    def serve_cdnbad(self):
        self.serve(CHANGED, '"cdn"')

    def serve_linkedsize(self):
        self.send(302, {"Location": "/x/cdn.bin", "X-Linked-Size": 17, "Content-Length": 0})

    def serve_breaks(self):  # three times, each further on
        self.serve(CONTENT, most=80_000 if self.count <= 3 else None)

    def serve_breaksold(self):  # HTTP/1.0 manner: no length, so a break looks like an end
        self.send_response(200)
        self.send_header("X-Linked-Size", str(len(CONTENT)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(CONTENT[:80_000] if self.count == 1 else CONTENT)
        self.drop()

    def serve_norange(self):  # always everything, breaking off once
        headers = {"Content-Length": len(CONTENT), "ETag": '"v1"'}
        self.send(200, headers, CONTENT[:100_000] if self.count == 1 else CONTENT)
        if self.count == 1:
            self.drop()

    def serve_wrongrange(self):  # 206, but not from where it was asked
        if not self.headers.get("Range"):
            return self.serve(CONTENT, most=100_000 if self.count == 1 else None)
        self.send(206, {"Content-Length": 10, "ETag": '"v1"', "Content-Range": "bytes 5-14/300000"}, b"0123456789")

    def serve_stable(self):  # may change between two runs
        if self.server.changed:
            return self.serve(CHANGED, '"v2"')
        self.serve(CONTENT, '"v1"', most=120_000 if self.count == 1 else None)

    def serve_noetag(self):  # breaks off once and gives no name to its version
        self.serve(CONTENT, None, most=120_000 if self.count == 1 else None)

    def serve_weak(self):
        self.serve(CONTENT, 'W/"v1"', most=120_000 if self.count == 1 else None)

    def serve_longer(self):  # claims more than it has, always
        self.send(200, {"Content-Length": len(CONTENT) + 1000}, CONTENT)
        self.drop()

    def serve_shorter(self):  # claims less: the rest must not be taken
        self.send(200, {"Content-Length": 1000}, CONTENT)
        self.drop()

    def serve_endless(self):  # no length and no end
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            for _ in range(10_000):
                self.wfile.write(CONTENT)
        except OSError:
            pass
        self.close_connection = True

    def serve_huge(self):
        self.send(200, {"Content-Length": 1 << 50}, b"x")
        self.drop()

    def serve_stalls(self):
        self.send(200, {"Content-Length": len(CONTENT), "ETag": '"v1"'}, CONTENT[:50_000])
        self.wfile.flush()
        time.sleep(20)
        self.close_connection = True

    def serve_busy(self):
        if self.count <= 2:
            return self.send(503, {"Content-Length": 4}, b"busy")
        self.serve(CONTENT)

    def serve_broken(self):
        self.send(500, {"Content-Length": 0})

    def serve_private(self):
        self.send(401, {"Content-Length": 6}, b"login!")

    def serve_loop(self):
        self.send(302, {"Location": self.path, "Content-Length": 0})

    def serve_file(self):  # a redirect out of HTTP
        self.send(302, {"Location": "file:///etc/hostname", "Content-Length": 0})

    def serve_empty(self):
        self.send(200, {"Content-Length": 0})

    def serve_garbage(self):
        self.wfile.write(b"\0\1\2 this is no HTTP\r\n\r\n")
        self.drop()

    def serve_hangup(self):
        self.close_connection = True

    def serve_errorpage(self):  # a large one must not be read to its end, nor kept
        self.send(404, {"Content-Length": len(CONTENT)}, CONTENT)
