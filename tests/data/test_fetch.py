"""Fetching over HTTP from a loopback server that cuts, lies and answers with pages."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prime_audit.core import digest_bytes
from prime_audit.data import download as downloading
from prime_audit.data.download import download
from prime_audit.data.fetch import (
    LOCK,
    Split,
    accept_licence,
    fetch,
    licence_accepted,
    wanted_files,
)
from prime_audit.errors import ConfigError, DataError, OutputError, PrimeAuditError
from tests.loopback import Host, serve_task, serving


@pytest.fixture
def host() -> Iterator[Host]:
    with serving() as host:
        yield host


def ignore(done: int, whole: int | None) -> None: ...


def no_check(path: Path) -> None: ...


def get(host: Host, target: Path, check: Callable[[Path], None] = no_check) -> None:
    download(f"{host.url}/x.json", target, check, ignore)


def test_a_whole_file_arrives(host: Host, tmp_path: Path) -> None:
    host.files["/x.json"] = b"[1]" * 100_000
    told: list[tuple[int, int | None]] = []
    download(f"{host.url}/x.json", tmp_path / "x", no_check, lambda done, whole: told.append((done, whole)))
    assert (tmp_path / "x").read_bytes() == host.files["/x.json"]
    assert told[0] == (0, 300_000)
    assert told[-1] == (300_000, 300_000)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_cut_connection_is_continued_where_it_ended(host: Host, tmp_path: Path) -> None:
    host.files["/x.json"] = bytes(range(256)) * 4000
    host.faults = [700_000, 1000]
    get(host, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == host.files["/x.json"]
    assert [wanted for _, wanted in host.asked] == [None, "bytes=700000-", "bytes=701000-"]


def test_the_same_call_continues_after_it_gave_up(host: Host, tmp_path: Path) -> None:
    host.files["/x.json"] = b"abcdefghij" * 10
    host.faults = [10, 10, 10, 10]
    with pytest.raises(DataError, match="40 bytes have arrived") as caught:
        get(host, tmp_path / "x")
    assert "continues" in caught.value.hint
    assert not (tmp_path / "x").exists()
    get(host, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == host.files["/x.json"]
    assert host.asked[-1][1] == "bytes=40-"


@pytest.mark.parametrize("other", [b"Y" * 100, b"Y" * 20])
def test_a_file_that_changed_meanwhile_is_fetched_from_its_beginning(
    host: Host, tmp_path: Path, other: bytes
) -> None:
    host.files["/x.json"] = b"X" * 100
    host.faults = [10, 10, 10, 10]
    with pytest.raises(DataError):
        get(host, tmp_path / "x")
    host.files["/x.json"] = other
    get(host, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == other


def test_without_a_version_nothing_is_put_together(host: Host, tmp_path: Path) -> None:
    host.files["/x.json"] = b"X" * 100
    host.tags = False
    host.faults = [50]
    get(host, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == host.files["/x.json"]
    assert [wanted for _, wanted in host.asked] == [None, None]


def test_a_host_without_ranges_starts_again(host: Host, tmp_path: Path) -> None:
    host.files["/x.json"] = b"X" * 100
    host.ranges = False
    host.faults = [50]
    get(host, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == host.files["/x.json"]


def test_a_busy_host_is_asked_again_and_a_refusal_is_not(host: Host, tmp_path: Path) -> None:
    host.files["/x.json"] = b"[]"
    host.faults = ["503", "503"]
    get(host, tmp_path / "x")
    assert len(host.asked) == 3
    host.faults = ["404"]
    with pytest.raises(DataError, match="the server answers 404"):
        get(host, tmp_path / "y")
    assert len(host.asked) == 4


def test_a_promised_length_that_is_not_kept(host: Host, tmp_path: Path) -> None:
    host.files["/x.json"] = b"[1, 2, 3, 4, 5, 6, 7]"
    # Asked for the rest, the host says that there is none.
    host.faults = ["long"]
    get(host, tmp_path / "whole")
    assert (tmp_path / "whole").read_bytes() == host.files["/x.json"]
    host.tags = False
    host.faults = ["long"] * 4
    with pytest.raises(DataError, match="the connection ended"):
        get(host, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_only_http_and_https(host: Host, tmp_path: Path) -> None:
    for url in ("file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "http:///x", "x"):
        with pytest.raises(DataError, match="not an http or https address"):
            download(url, tmp_path / "x", no_check, ignore)
    host.faults = ["redirect"]
    with pytest.raises(DataError, match="the server answers 302"):
        get(host, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_nobody_there_and_nowhere_to_write(host: Host, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no connection"):
        download("http://127.0.0.1:9/x", tmp_path / "x", no_check, ignore)
    with pytest.raises(OutputError, match="cannot be written"):
        get(host, tmp_path / "none" / "x")


def test_what_fails_the_check_is_removed(host: Host, tmp_path: Path) -> None:
    def refuse(path: Path) -> None:
        raise DataError("not this")

    with pytest.raises(DataError, match="not this"):
        get(host, tmp_path / "x", refuse)
    assert list(tmp_path.iterdir()) == []


def run(host: Host, out: Path, split: Split = "user", task: str = "lamp-3") -> list[str]:
    said: list[str] = []
    fetch(task, split, out, host=host.url, say=said.append, received=lambda name: ignore)
    return said


@pytest.mark.parametrize("split", ["user", "time"])
def test_a_task_is_fetched_with_its_checksums_and_kept(host: Host, tmp_path: Path, split: Split) -> None:
    serve_task(host, "time/LaMP_3" if split == "time" else "LaMP_3", tmp_path)
    out = tmp_path / "out"
    assert len(run(host, out, split)) == 4
    lock = json.loads((out / LOCK).read_text())
    assert (lock["task"], lock["split"], lock["licence"]) == ("lamp-3", split, "CC BY-NC-SA 4.0")
    for name, entry in lock["files"].items():
        data = (out / name).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(data), digest_bytes(data))
        assert entry["url"].startswith(host.url)
    asked = len(host.asked)
    assert all("unchanged" in line for line in run(host, out, split))
    assert len(host.asked) == asked


def test_a_page_in_place_of_a_file_is_named_and_removed(host: Host, tmp_path: Path) -> None:
    serve_task(host, "LaMP_3", tmp_path)
    del host.files["/LaMP_3/dev/dev_questions.json"]
    with pytest.raises(DataError, match="not the file that was asked for") as caught:
        run(host, tmp_path / "out")
    assert "web page" in caught.value.hint
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dev_outputs.json", LOCK]


def test_a_file_cut_short_by_a_wrong_length_is_no_whole_json(host: Host, tmp_path: Path) -> None:
    serve_task(host, "LaMP_3", tmp_path)
    host.faults = ["short"]
    with pytest.raises(DataError, match="not the file that was asked for"):
        run(host, tmp_path / "out")
    run(host, tmp_path / "out")


def test_changed_files_are_refused(host: Host, tmp_path: Path) -> None:
    serve_task(host, "LaMP_3", tmp_path)
    out = tmp_path / "out"
    run(host, out)
    (out / "dev_outputs.json").write_text('{"task": "LaMP_3", "golds": []}')
    with pytest.raises(DataError, match="other size or checksum"):
        run(host, out)
    (out / "dev_outputs.json").unlink()
    host.files["/LaMP_3/dev/dev_outputs.json"] += b" "
    with pytest.raises(DataError, match="when it was first fetched"):
        run(host, out)
    with pytest.raises(ConfigError, match="holds lamp-3 in the split by user"):
        run(host, out, "time")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "dev_outputs.json").write_text("mine")
    with pytest.raises(DataError, match="was not fetched"):
        run(host, tmp_path / "own")
    assert (tmp_path / "own" / "dev_outputs.json").read_text() == "mine"


def test_addresses() -> None:
    base = "https://ciir.cs.umass.edu/downloads/LaMP"
    urls = {task: wanted_files(task, "user")[1].url for task in ("lamp-1", "lamp-2", "lamp-2n")}
    assert urls == {
        "lamp-1": f"{base}/LaMP_1/dev/dev_questions.json",
        "lamp-2": f"{base}/LaMP_2/new/dev/dev_questions.json",
        "lamp-2n": f"{base}/LaMP_2/dev/dev_questions.json",
    }
    assert wanted_files("lamp-2", "time")[3].url == f"{base}/time/LaMP_2/new/train/train_questions.json"
    with pytest.raises(ConfigError, match="Avocado"):
        wanted_files("lamp-6", "user")
    with pytest.raises(ConfigError, match="no task 'lamp-8'"):
        wanted_files("lamp-8", "user")


def test_the_licence_is_accepted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIME_AUDIT_CACHE", str(tmp_path / "cache"))
    assert not licence_accepted()
    accept_licence()
    assert licence_accepted()


def test_a_redirect_never_leaves_https() -> None:
    import http.client
    import io
    import urllib.request

    handler = downloading._SecureRedirects()
    request = urllib.request.Request("https://example.org/x")
    with pytest.raises(PrimeAuditError, match="without https"):
        handler.redirect_request(
            request, io.BytesIO(), 302, "Found", http.client.HTTPMessage(), "http://example.org/y"
        )
