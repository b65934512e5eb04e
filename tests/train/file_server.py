"""A web server on this machine that serves one file, well or badly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What is served and how; ``asked`` counts the requests for it.

    Attributes:
        content: the file.
        drops: how many answers break off after ``after`` bytes of content.
        chunked: whether the length is not told beforehand.
        status: an error to answer instead, for the first ``refusals`` requests.
    """

    content: bytes = b""
    drops: int = 0
    after: int = 0
    chunked: bool = False
    status: int = 0
    refusals: int = 1_000
    url: str = ""
    asked: int = 0


@contextmanager
def serve_file(site: Site) -> Iterator[Site]:
    """Serves until the block ends, under ``site.url``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def do_GET(self):
            self.close_connection = True
            if self.path == "/moved.zip":
                self.send_response(302)
                self.send_header("Location", site.url)
                self.send_header("Content-Length", "0")
                self.send_header("Connection", "close")  # so that no client asks it again
                self.end_headers()
                return
            site.asked += 1
            if site.asked <= site.refusals and site.status:
                self.send_error(site.status)
                return
            body = site.content
            self.send_response(200)
            if site.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            dropped = site.drops > 0
            site.drops -= dropped
            sent = body[: site.after] if dropped else body
            if not site.chunked:
                self.wfile.write(sent)
                return
            self.wfile.write(b"%x\r\n%b\r\n" % (len(sent), sent))
            if not dropped:
                self.wfile.write(b"0\r\n\r\n")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}/master.zip"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
