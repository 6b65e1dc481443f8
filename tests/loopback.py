"""A web server on this machine that cuts connections, lies about lengths and answers with pages."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prime_audit.core import digest_bytes
from tests.lamp_files import questions, write_split

PAGE = b"<!doctype html><html><body>Not here</body></html>" * 300


@dataclass
class Host:
    """What the server holds, and how it misbehaves, answer by answer.

    Attributes:
        files: Content by path.
        tags: Whether answers name their version.
        faults: Taken one per request: bytes after which the connection is cut, or another way to fail.
        asked: The path and the Range of every request.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    tags: bool = True
    ranges: bool = True
    faults: list[int | str] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


def _handler(host: Host) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None: ...

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            host.asked.append((self.path, wanted))
            fault = host.faults.pop(0) if host.faults else None
            body = host.files.get(self.path, PAGE)
            if fault in ("503", "404"):
                self.send_error(int(fault))
                return
            if fault == "redirect":
                self.send_response(302)
                self.send_header("Location", "file:///etc/passwd")
                self.end_headers()
                return
            tag = f'"{digest_bytes(body)[:8]}"'
            start = 0
            if wanted and host.ranges and self.headers.get("If-Range") == tag:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(body):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(body)}")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            length = len(body) - start
            if fault == "long":
                length += 10
            elif fault == "short":
                length -= 10
            self.send_header("Content-Length", str(length))
            if host.tags:
                self.send_header("ETag", tag)
            self.end_headers()
            self.wfile.write(body[start : start + fault] if isinstance(fault, int) else body[start:])
            self.close_connection = True

    return Handler


@contextmanager
def serving() -> Iterator[Host]:
    """Serve while the block runs."""
    host = Host()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(host))
    host.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def serve_task(host: Host, folder: str, source: Path, task: str = "lamp-3") -> None:
    """Put both splits of a task on the host."""
    for split in ("dev", "train"):
        users = [f"{split}1", f"{split}2"]
        path = write_split(source / "source", split, task, questions(task, users))
        for name in (path.name, f"{split}_outputs.json"):
            host.files[f"/{folder}/{split}/{name}"] = (path.parent / name).read_bytes()
