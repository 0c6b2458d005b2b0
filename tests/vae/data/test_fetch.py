"""vae/data/fetch.py against a local server that fails in many ways."""

import gzip
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import vae.data
from vae.data import DataError
from vae.data.fetch import fetch

CONTENT = b"the right content " * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ZIPPED = gzip.compress(CONTENT, compresslevel=0)
NAME = "train-images-idx3-ubyte.gz"
ROOT = Path(vae.data.__file__).parents[2]

FETCH = f"""
import sys
from pathlib import Path
from vae.data.fetch import fetch
print(fetch({NAME!r}, {SHA256!r}, Path(sys.argv[1]), sys.argv[2:]).read_bytes()[:2])
"""


class Handler(BaseHTTPRequestHandler):
    """Answers /<behaviour>/<file>."""

    def do_GET(self) -> None:
        behaviour = self.path.split("/")[1]
        self.server.asked[behaviour] += 1
        if behaviour == "missing":
            return self.send_error(404)
        body = {"wrong": gzip.compress(b"another file"), "garbage": b"\x1f\x8b garbage"}.get(behaviour, ZIPPED)
        if behaviour == "slow":
            time.sleep(0.3)
        self.send_response(200)
        if behaviour != "unmeasured":
            extra = 1000 if behaviour == "interrupted" else 0
            self.send_header("Content-Length", str(len(body) + extra))
        self.end_headers()
        if behaviour == "stalling":
            self.wfile.write(body[: len(body) // 2])
            self.server.release.wait(20)
        else:
            self.wfile.write(body[: len(body) // 2] if behaviour == "unmeasured" else body)
        return None

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: Counter[str] = Counter()
        self.release = threading.Event()

    def handle_error(self, *args: object) -> None:
        pass  # a client that was killed

    def mirrors(self, *behaviours: str) -> list[str]:
        return [f"http://127.0.0.1:{self.server_port}/{behaviour}" for behaviour in behaviours]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


def is_empty(folder: Path) -> bool:
    return not list(folder.iterdir())


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    for _ in range(2):
        path = fetch(NAME, SHA256, folder, server.mirrors("good"))
        assert path == folder / NAME
        assert path.read_bytes() == ZIPPED
    assert server.asked == {"good": 1}
    assert {p.name for p in folder.iterdir()} == {NAME}


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("missing", "404"),
        ("interrupted", rf"stopped after {len(ZIPPED)} of {len(ZIPPED) + 1000} bytes"),
        ("unmeasured", "damaged gzip file"),
        ("garbage", "damaged gzip file"),
        (
            "wrong",
            f"expected SHA-256 {SHA256}, seen {hashlib.sha256(b'another file').hexdigest()}",
        ),
    ],
)
def test_a_mirror_that_fails_is_followed_by_the_next(
    server: Server, tmp_path: Path, behaviour: str, message: str
) -> None:
    with pytest.raises(DataError, match=rf"{NAME} could not be fetched .*{message}") as caught:
        fetch(NAME, SHA256, tmp_path, server.mirrors(behaviour))
    assert "\n" not in str(caught.value)
    assert is_empty(tmp_path)
    fetch(NAME, SHA256, tmp_path, server.mirrors(behaviour, "good"))
    assert server.asked == {behaviour: 2, "good": 1}
    assert (tmp_path / NAME).read_bytes() == ZIPPED


def test_every_mirror_that_failed_is_named(server: Server, tmp_path: Path) -> None:
    mirrors = server.mirrors("missing", "wrong")
    with pytest.raises(DataError) as caught:
        fetch(NAME, SHA256, tmp_path, ["http://127.0.0.1:1", "no-scheme", *mirrors])
    for mirror in ("http://127.0.0.1:1", "no-scheme", *mirrors):
        assert f"{mirror}/{NAME}: " in str(caught.value)


def test_a_stalling_mirror_is_abandoned(server: Server, tmp_path: Path) -> None:
    fetch(NAME, SHA256, tmp_path, server.mirrors("stalling", "good"), timeout=0.2)
    assert server.asked == {"stalling": 1, "good": 1}


def test_more_than_the_limit_is_refused(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vae.data.fetch.LIMIT", 1000)
    with pytest.raises(DataError, match="sent more than 1000 bytes"):
        fetch(NAME, SHA256, tmp_path, server.mirrors("good"))
    assert is_empty(tmp_path)


def test_a_damaged_file_in_the_cache_is_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(ZIPPED[:-100])
    with pytest.raises(DataError, match=rf"{NAME} is a damaged gzip file .*404"):
        fetch(NAME, SHA256, tmp_path, server.mirrors("missing"))
    fetch(NAME, SHA256, tmp_path, server.mirrors("good"))
    assert (tmp_path / NAME).read_bytes() == ZIPPED


def test_a_file_compressed_differently_is_accepted_without_a_mirror(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(gzip.compress(CONTENT, compresslevel=9))
    assert fetch(NAME, SHA256, tmp_path, []) == tmp_path / NAME


def test_a_folder_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"the cache folder .*file.* cannot be written"):
        fetch(NAME, SHA256, tmp_path / "file" / "below", [])


def start(folder: Path, mirrors: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", FETCH, str(folder), *mirrors],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_concurrent_processes_fetch_once(server: Server, tmp_path: Path) -> None:
    fetching = [start(tmp_path, server.mirrors("slow")) for _ in range(2)]
    for process in fetching:
        output, _ = process.communicate(timeout=20)
        assert process.returncode == 0, output
        assert output == f"{ZIPPED[:2]}\n"
    assert server.asked == {"slow": 1}


@pytest.mark.skipif(os.name != "posix", reason="locks are those of POSIX")
def test_a_killed_process_leaves_no_lock_and_its_partial_file_is_removed(server: Server, tmp_path: Path) -> None:
    process = start(tmp_path, server.mirrors("stalling"))
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob(".*.part")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert len(list(tmp_path.glob(".*.part"))) == 1
    assert not (tmp_path / NAME).exists()
    fetch(NAME, SHA256, tmp_path, server.mirrors("good"))
    assert {path.name for path in tmp_path.iterdir()} == {NAME}
