"""Small IDX files, and a place to have them from: a server on this machine in place of the mirrors."""

import gzip
import hashlib
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from momentum_jax.data import sources

FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def idx_bytes(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def small_files() -> dict[str, bytes]:
    """Twelve training and four test images of 28 x 28, gzipped."""
    random = np.random.default_rng(7)
    arrays = (
        random.integers(0, 256, (12, 28, 28)),
        np.arange(12) % 10,
        random.integers(0, 256, (4, 28, 28)),
        np.array([9, 0, 3, 3]),
    )
    return {file: gzip.compress(idx_bytes(array), mtime=0) for file, array in zip(FILES, arrays, strict=True)}


@pytest.fixture(scope="session")
def to_idx() -> Callable[[np.ndarray], bytes]:
    """The IDX file of an array of unsigned bytes, before it is packed."""
    return idx_bytes


@pytest.fixture
def files() -> dict[str, bytes]:
    return small_files()


@pytest.fixture
def directory(tmp_path: Path, files: dict[str, bytes]) -> Path:
    """A directory of the user's that holds a small mnist."""
    folder = tmp_path / "of the user" / "mnist"
    folder.mkdir(parents=True)
    for file, content in files.items():
        (folder / file).write_bytes(content)
    return folder.parent


@pytest.fixture(autouse=True)
def nothing_of_this_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the cache, nor, but for those of the real files, the data directory of whoever runs it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    if "real_files" not in request.fixturenames:
        monkeypatch.delenv("MOMENTUM_JAX_DATA", raising=False)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Where the cache keeps mnist. It does not exist yet."""
    return tmp_path / "cache" / "momentum_jax" / "mnist"


class Mirrors:
    """Two mirrors of mnist on this machine, `good` and `bad`: what each answers is in `answers`, by path."""

    def __init__(self, port: int):
        self.good, self.bad = f"http://127.0.0.1:{port}/good/", f"http://127.0.0.1:{port}/bad/"
        self.answers: dict[str, bytes] = {}
        self.announced: dict[str, int] = {}
        self.asked: list[str] = []


@pytest.fixture
def mirrors(files: dict[str, bytes]) -> Iterator[Mirrors]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            served.asked.append(self.path)
            if self.path not in served.answers:
                self.send_error(404)
                return
            content = served.answers[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(served.announced.get(self.path, len(content))))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Mirrors(server.server_address[1])
    served.answers = {f"/good/{file}": content for file, content in files.items()}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]) -> Callable[..., None]:
    """A function that makes the small files the published mnist, to be had from the mirrors that it is given."""

    def publish_at(*urls: str) -> None:
        sums = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
        monkeypatch.setitem(sources.SOURCES, "mnist", replace(sources.SOURCES["mnist"], sums=sums, mirrors=urls))

    return publish_at
