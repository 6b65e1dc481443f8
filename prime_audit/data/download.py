"""Downloading one file over HTTP, with resume. The only file of the project that opens a connection."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, NoReturn, Protocol
from urllib.parse import urlsplit

from prime_audit.core import read_json, write_json
from prime_audit.errors import DataError, OutputError, PrimeAuditError

_CHUNK = 1 << 18
_TIMEOUT = 60.0
_TRIES = 4
# A server that fails in these ways may answer when it is asked again.
_BUSY = frozenset({408, 429, 500, 502, 503, 504})

Received = Callable[[int, int | None], None]


class _Opener(Protocol):
    def open(self, request: urllib.request.Request, *, timeout: float) -> http.client.HTTPResponse: ...


class _CutError(Exception):
    """The connection ended early; what has arrived is kept."""


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to plain http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Refuses an address without https; see the base class."""
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise DataError(
                f"{req.full_url}: redirects to an address without https", hint="it is not followed"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass(frozen=True)
class _Partial:
    """What an interrupted download left behind."""

    path: Path
    url: str

    @property
    def _tag_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def tag(self) -> str | None:
        """What told the server's version of the file, if it was of this address."""
        try:
            kept = read_json(self._tag_path)
        except DataError:
            return None
        return str(kept["tag"]) if isinstance(kept, dict) and kept.get("url") == self.url else None

    def keep_tag(self, tag: str) -> None:
        write_json(self._tag_path, {"url": self.url, "tag": tag})

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._tag_path.unlink(missing_ok=True)


def download(url: str, target: Path, check: Callable[[Path], None], received: Received) -> None:
    """Download a file under a temporary name, check it, and rename it.

    What an earlier call left is continued if the server still has the same version. A connection that ends
    early is opened again, three times at most.

    Args:
        url: The address; http or https alone.
        target: Where the file goes; its folder exists.
        check: Raises an error if the content is not what was asked for; it is then removed.
        received: Told of the bytes that have arrived and of the whole length where it is known.

    Raises:
        DataError: The address is wrong, the server refuses, or the file is not whole; a whole file under the
            name `target` is never replaced by a broken one.
        OutputError: The file cannot be written.
    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise DataError(f"{url}: not an http or https address")
    partial = _Partial(target.with_name(f"{target.name}.part"), url)
    opener = _opener()
    reason = ""
    for _ in range(_TRIES):
        try:
            _receive(opener, url, partial, received)
            break
        except _CutError as error:
            reason = str(error)
        except OSError as error:
            raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from error
    else:
        hint = "the same command continues where it stopped"
        raise DataError(f"{url}: {reason} ({partial.size()} bytes have arrived)", hint=hint)
    try:
        check(partial.path)
    except PrimeAuditError:
        partial.remove()
        raise
    partial.path.replace(target)
    partial.remove()


def _opener() -> _Opener:
    """An opener for http and https and nothing else: no files, no ftp."""
    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _SecureRedirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        director.add_handler(handler)
    return director


def _receive(opener: _Opener, url: str, partial: _Partial, received: Received) -> None:
    """One request: appends to what is there, or starts again if the server sends the whole file."""
    have, tag = partial.size(), partial.tag()
    if have and tag is None:
        # Without the server's word on its version, two halves of two versions could be put together.
        partial.remove()
        have = 0
    headers = {"User-Agent": "prime-audit", "Accept-Encoding": "identity"}
    # The scheme was checked, and the opener knows no other.
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    if have and tag is not None:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", tag)
    try:
        response = opener.open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have and error.headers.get("Content-Range") == f"bytes */{have}":
            # Everything had arrived; only the end of the last connection was missing.
            error.close()
            return
        _refused(url, error, partial)
    except (http.client.HTTPException, OSError) as error:
        raise _CutError(f"no connection: {getattr(error, 'reason', None) or type(error).__name__}") from error
    with response:
        start, whole = _range(response, have)
        if response.status == 206 and start != have:
            partial.remove()
            raise _CutError("the server continued at another place than it was asked to")
        # The kept tag must belong to the bytes of this response before any of them are.
        if start == 0:
            partial.remove()
            if tag := _version(response):
                partial.keep_tag(tag)
        with partial.path.open("ab") as stream:
            _copy(response, stream, start, whole, received)


def _copy(
    response: http.client.HTTPResponse, stream: BinaryIO, start: int, whole: int | None, received: Received
) -> None:
    done = start
    received(done, whole)
    while True:
        try:
            data = response.read(_CHUNK)
        except http.client.IncompleteRead as error:
            stream.write(error.partial)
            raise _CutError("the connection ended early") from error
        except (http.client.HTTPException, OSError) as error:
            raise _CutError(f"the connection ended early: {type(error).__name__}") from error
        if not data:
            break
        stream.write(data)
        done += len(data)
        received(done, whole)
    if whole is not None and done != whole:
        raise _CutError(f"the connection ended after {done} of {whole} bytes")


def _version(response: http.client.HTTPResponse) -> str | None:
    """What tells the server's version of the file; a weak tag does not tell bytes apart."""
    tag: str | None = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _range(response: http.client.HTTPResponse, have: int) -> tuple[int, int | None]:
    """Where the response begins in the file, and how long the file is if the server says so."""
    length = response.headers.get("Content-Length", "")
    if response.status != 206:
        return 0, int(length) if length.isdecimal() else None
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    span, _, whole = rest.partition("/")
    first = span.partition("-")[0]
    if unit != "bytes" or not first.isdecimal():
        return have, None
    return int(first), int(whole) if whole.isdecimal() else None


def _refused(url: str, error: urllib.error.HTTPError, partial: _Partial) -> NoReturn:
    """Turns an HTTP status into the error of this try."""
    error.close()
    if error.code == 416:
        # What is there is longer than the file now is.
        partial.remove()
        raise _CutError("the file on the server has changed") from error
    if error.code in _BUSY:
        raise _CutError(f"the server answers {error.code}") from error
    raise DataError(f"{url}: the server answers {error.code} {error.msg}") from error
