"""A page that shows the pictures: on this machine alone, unless told otherwise."""

from __future__ import annotations

import errno
import ipaddress
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pcsc_d2.detect.live.broadcast import Broadcast
from pcsc_d2.pages import render_page

_TEMPLATE = Path(__file__).with_name("live.html")
_BOUNDARY = "picture"
# Viewers at once; each has a thread.
_MOST_VIEWERS = 16
# Seconds in which a viewer has to take a picture.
_PATIENCE = 10.0
# The page runs its own script alone, and nobody else's page shows it.
_POLICY = "default-src 'none'; img-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; "
_POLICY += "script-src 'unsafe-inline'; frame-ancestors 'none'"


@contextmanager
def serving(broadcast: Broadcast, port: int, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve the page while the block runs; gives its address.

    Args:
        broadcast: the pictures.
        port: 0 takes any that is free.
        host: an address of this machine.

    Raises:
        OSError: the port is in use or may not be taken, or there is no such address; one line.
    """
    try:
        server = _Server((host, port), partial(_Viewer, broadcast))
    except (OSError, OverflowError, UnicodeError) as error:  # a name can be none
        raise OSError(_why(error, host, port)) from None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.server_port}/"
    finally:
        broadcast.close()
        server.shutdown()
        server.server_close()


def _why(error: Exception, host: str, port: int) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return f"port {port} is in use: give another --serve (0 takes one that is free)"
    reason = getattr(error, "strerror", None) or error
    return f"{host}, port {port}: cannot be served from ({reason})"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *about: object) -> None:
        self.viewers = threading.BoundedSemaphore(_MOST_VIEWERS)
        super().__init__(*about)

    def handle_error(self, *about: object) -> None:
        """A viewer that went away is no news."""


class _Viewer(BaseHTTPRequestHandler):
    timeout = _PATIENCE
    server: _Server

    def __init__(self, broadcast: Broadcast, *about: object) -> None:
        self._broadcast = broadcast
        super().__init__(*about)

    def do_GET(self) -> None:
        """Answer with the page, the stream or how it goes."""
        answers = {"/": self._page, "/stream": self._stream, "/status": self._status}
        answer = answers.get(self.path.partition("?")[0])
        if not _is_ours(self.headers.get("Host", ""), self.server.server_address[0]):
            self.send_error(403)  # another site's name, made to point here
        elif answer is None:
            self.send_error(404)
        else:
            answer()

    def log_message(self, *_: object) -> None:
        """Requests are no news."""

    def _page(self) -> None:
        source = self._broadcast.status.source
        page = render_page(_TEMPLATE, title=source or "Live")
        self._send(page.encode(), "text/html; charset=utf-8")

    def _status(self) -> None:
        self._send(json.dumps(asdict(self._broadcast.status)).encode(), "application/json")

    def _send(self, body: bytes, kind: str) -> None:
        self._head(kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _head(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")

    def _stream(self) -> None:
        if not self.server.viewers.acquire(blocking=False):
            self.send_error(503)
            return
        try:
            self._head(f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
            self.end_headers()
            with suppress(OSError):  # the viewer went away
                for picture in self._broadcast.pictures():
                    head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n"
                    head += f"Content-Length: {len(picture)}\r\n\r\n"
                    self.wfile.write(head.encode() + picture + b"\r\n")
        finally:
            self.server.viewers.release()


def _is_ours(host: str, address: str) -> bool:
    """Whether a request names this machine; on loopback nothing but loopback's names does.

    A page of another site can give its own name this machine's address, and would then read the
    pictures as its own.
    """
    if not ipaddress.ip_address(address).is_loopback:
        return True
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    with suppress(ValueError):
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    return name == "localhost"
