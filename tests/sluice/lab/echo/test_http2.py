"""HTTP/2 of the echo server, with clients of other people."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sluice.lab.echo.servers import Basic, basic


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Basic]:
    with basic(tmp_path_factory.mktemp("echo") / "log", {}) as found:
        yield found


def curl(*words: str) -> str:
    command = ["curl", "-sS", "--max-time", "5", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout


def test_a_client_with_prior_knowledge_is_answered(server: Basic) -> None:
    url = f"http://127.0.0.1:{server.h2c}/a?b=c"
    answer = json.loads(
        curl("--http2-prior-knowledge", url, "-d", "data", "-H", "Cookie: a=b; c=d")
    )

    assert (answer["path"], answer["proto"], answer["method"]) == ("/a?b=c", "HTTP/2.0", "POST")
    assert answer["host"] == f"127.0.0.1:{server.h2c}"
    assert answer["headers"]["Cookie"] == ["a=b; c=d"]
    assert answer["headers"]["Content-Length"] == ["4"]


def test_a_client_may_upgrade(server: Basic) -> None:
    url = f"http://127.0.0.1:{server.h2c}/up"
    first, second = curl("--http2", url, url, "-w", "%{http_version}\n").split("2\n")[:2]
    assert {json.loads(each)["proto"] for each in (first, second)} == {"HTTP/2.0"}


def test_a_client_that_does_not_is_refused(server: Basic) -> None:
    assert curl(f"http://127.0.0.1:{server.h2c}/", "-w", "%{http_code}").endswith("400")


def test_the_port_of_http1_speaks_no_http2(server: Basic) -> None:
    done = subprocess.run(
        ["curl", "-sS", "--http2-prior-knowledge", f"http://127.0.0.1:{server.http}/"],
        capture_output=True,
        check=False,
        timeout=10,
    )
    assert done.returncode != 0


@pytest.mark.parametrize(("target", "status"), [("status/204", 204), ("status/503", 503)])
def test_a_status_is_as_asked(server: Basic, target: str, status: int) -> None:
    url = f"http://127.0.0.1:{server.h2c}/{target}"
    words = ("--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_code}", url)
    assert curl(*words) == str(status)


def test_streams_wait_side_by_side(server: Basic) -> None:
    began = time.monotonic()
    url = f"http://127.0.0.1:{server.h2c}/?delay=100ms"
    done = subprocess.run(
        ["nghttp", "--no-dep", "-m", "10", "-s", url],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    assert len(re.findall(r" 200 ", done.stdout)) == 10
    assert time.monotonic() - began < 0.9


def test_an_answer_that_is_larger_than_a_window_comes_whole(server: Basic, tmp_path: Path) -> None:
    big = tmp_path / "headers"
    big.write_text("".join(f"X-Big-{number}: {'x' * 4000}\n" for number in range(14)))
    url = f"http://127.0.0.1:{server.h2c}/"
    words = ["nghttp", "-w", "10", "-W", "10"]
    words += [f"-HX-Big-{number}: {'x' * 4000}" for number in range(14)]
    done = subprocess.run([*words, url], capture_output=True, text=True, check=True, timeout=10)
    assert len(json.loads(done.stdout)["headers"]) >= 14


def test_many_requests_are_answered_on_few_connections(server: Basic) -> None:
    done = subprocess.run(
        ["h2load", "-n", "500", "-c", "2", "-m", "20", f"http://127.0.0.1:{server.h2c}/"],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert "500 succeeded" in done.stdout


def test_a_reset_that_is_asked_for_ends_the_connection(server: Basic) -> None:
    url = f"http://127.0.0.1:{server.h2c}/retry/a?uuid=h2&succeedAfter=1"
    words = ["curl", "-sS", "--http2-prior-knowledge", "--max-time", "5", url]
    first, second = (subprocess.run(words, capture_output=True, check=False) for _ in range(2))
    assert b"reset by peer" in first.stderr  # while it sends, or while it reads
    assert json.loads(second.stdout)["path"].startswith("/retry/a")
