"""curl, nghttp and h2load, which stand on nghttp2, as clients of the core (h2c on loopback)."""

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.wire.http2.frames import DEFAULT_FRAME_OCTETS
from mesh.wire.http2.settings import Settings
from tests.interop.http2_server import Server, pattern, serving

pytestmark = pytest.mark.slow

LARGE = 5_000_000


@pytest.fixture
def server() -> Iterator[Server]:
    # The smallest frame size, so that clients have to cut their headers, too.
    with serving(Settings(max_frame=DEFAULT_FRAME_OCTETS)) as made:
        yield made
    assert [one.error for one in made.served if one.error] == []
    assert made.budget.taken == 0, "what windows had grown by came back"


@pytest.fixture
def body(tmp_path: Path) -> Path:
    file = tmp_path / "body"
    file.write_bytes(pattern(LARGE))
    return file


def run(*words: str | Path) -> bytes:
    done = subprocess.run(words, capture_output=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def curl(server: Server, path: str, *words: str | Path) -> bytes:
    url = f"http://127.0.0.1:{server.port}{path}"
    return run("curl", "-sS", "--http2-prior-knowledge", *words, url)


def test_curl_gets_bodies_of_all_sizes(server: Server) -> None:
    for length in (0, 1, 16_384, 100_000, LARGE):
        assert curl(server, f"/{length}") == pattern(length)


def test_curl_says_that_it_was_http2(server: Server) -> None:
    assert curl(server, "/3", "-o", "/dev/null", "-w", "%{http_version} %{http_code}") == b"2 200"


def test_curl_sends_a_large_body_and_gets_it_back(server: Server, body: Path) -> None:
    assert curl(server, "/echo", "-T", body, "-X", "POST") == pattern(LARGE)


def test_curl_sends_a_large_body_and_gets_its_hash_and_trailers(server: Server, body: Path) -> None:
    found = curl(server, "/sum", "--data-binary", f"@{body}", "-D", "-")
    assert hashlib.sha256(pattern(LARGE)).hexdigest().encode() in found
    assert b"x-trailer: there" in found


def test_curl_runs_many_at_once(server: Server, tmp_path: Path) -> None:
    # On a connection each: with prior knowledge, this curl fails on a shared one (with h2, too).
    out = tmp_path / "out-#1"
    curl(server, "/[100000-100019]", "--parallel", "--parallel-immediate", "-o", out)
    for length in range(100_000, 100_020):
        assert (tmp_path / f"out-{length}").read_bytes() == pattern(length)


def test_a_client_that_goes_in_the_middle_leaves_nothing(server: Server) -> None:
    done = subprocess.run(
        [
            *("curl", "-sS", "--http2-prior-knowledge", "--max-filesize", "1000000"),
            f"http://127.0.0.1:{server.port}/{LARGE}",
        ],
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 63, "curl: file size exceeded"
    assert curl(server, "/10") == pattern(10)


def test_nghttp_gets_several_at_once_with_padding_and_small_windows(server: Server) -> None:
    urls = [f"http://127.0.0.1:{server.port}/{length}" for length in (70_000, 90_001, 5)]
    found = run("nghttp", "--padding=77", "--window-bits=14", "--connection-window-bits=15", *urls)
    assert sorted(found) == sorted(b"".join(map(pattern, (70_000, 90_001, 5))))


def test_nghttp_gets_many_on_one_connection(server: Server) -> None:
    found = run("nghttp", "--multiply=60", f"http://127.0.0.1:{server.port}/50000")
    assert len(found) == 60 * 50_000
    assert len(server.served) == 1


def test_nghttp_sends_a_large_body_with_padding_and_trailers(server: Server, body: Path) -> None:
    url = f"http://127.0.0.1:{server.port}/sum"
    found = run("nghttp", "--padding=200", f"--data={body}", "--trailer=x-end: yes", url)
    assert found == hashlib.sha256(pattern(LARGE)).hexdigest().encode()


def test_nghttp_sends_continuations(server: Server) -> None:
    # --continuation adds headers that fill more than a frame.
    assert run("nghttp", "--continuation", f"http://127.0.0.1:{server.port}/11") == pattern(11)


@pytest.mark.parametrize(
    ("requests", "connections", "streams", "path"),
    [(5000, 4, 50, "/100"), (200, 2, 20, "/100000"), (2000, 1, 200, "/1")],
)
def test_h2load_gets_every_answer(
    server: Server, requests: int, connections: int, streams: int, path: str
) -> None:
    said = run(
        *("h2load", f"-n{requests}", f"-c{connections}", f"-m{streams}"),
        f"http://127.0.0.1:{server.port}{path}",
    ).decode()
    assert f"{requests} succeeded, 0 failed, 0 errored" in said
    assert f"status codes: {requests} 2xx" in said


def test_h2load_sends_bodies_on_many_streams(server: Server, tmp_path: Path) -> None:
    piece = tmp_path / "piece"
    piece.write_bytes(pattern(200_000))
    said = run(
        *("h2load", "-n100", "-c2", "-m25", f"--data={piece}"),
        f"http://127.0.0.1:{server.port}/echo",
    ).decode()
    assert "100 succeeded, 0 failed, 0 errored" in said
    assert "(20000000) data" in said
