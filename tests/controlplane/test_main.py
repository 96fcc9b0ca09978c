"""`sluice-control` as a process: its words, its exit codes, its signals."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jwt
import pytest
import yaml

from controlplane.__main__ import main
from tests.controlplane.running import PROXIES

PATIENCE_S = 20
TOKEN = ("token", "istio-system", "b", "ztunnel-a")
ALL_PLACES = ("--state", "STATE", "--manifests", "MANIFESTS")


def words(*more: str) -> list[str]:
    return [sys.executable, "-m", "controlplane", *more]


def ran(*more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words(*more), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "proxies.yaml").write_text(yaml.safe_dump_all(PROXIES))
    (manifests / ".generation").write_text("7\n")
    return tmp_path


@contextmanager
def process(folder: Path, *more: str) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """A running one, and the lines that it has logged until it served."""
    flags = ["--manifests", str(folder / "manifests"), "--state", str(folder / "state")]
    ports = ["--listen", "127.0.0.1:0", "--monitoring-listen", "127.0.0.1:0"]
    with subprocess.Popen(words(*flags, *ports, *more), stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        lines = []
        for line in child.stderr:
            lines.append(line)
            if 'code="serving"' in line:
                break
        try:
            yield child, lines
        finally:
            child.kill()


@pytest.mark.slow
def test_it_serves_says_where_gives_tokens_and_ends_when_told(folder: Path) -> None:
    with process(folder) as (child, lines):
        assert "generation=7" in lines[0]
        found = re.search(r"http=(\d+)", lines[-1])
        assert found
        with socket.create_connection(("127.0.0.1", int(found[1]))) as page:
            page.sendall(b"GET /debug/syncz HTTP/1.1\r\n\r\n")
            body = page.makefile("rb").read().partition(b"\r\n\r\n")[2]
        assert json.loads(body) == {"generation": 7, "problems": [], "clients": []}
        answer = ran(
            "token", "istio-system", "ztunnel", "ztunnel-a", "--state", str(folder / "state")
        )
        assert answer.returncode == 0, answer.stderr
        claims = jwt.decode(answer.stdout.strip(), options={"verify_signature": False})
        assert claims["kubernetes.io"]["pod"] == {"name": "ztunnel-a", "uid": "u-a"}
        assert claims["kubernetes.io"]["node"] == {"name": "a"}
        assert claims["exp"] - claims["iat"] == 43_200
        child.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert child.wait(PATIENCE_S) == 0
        assert time.monotonic() - began < 5
        assert child.stderr is not None
        assert 'code="stopping"' in child.stderr.read()


@pytest.mark.slow
def test_a_port_in_use_is_an_error_with_exit_code_1(folder: Path) -> None:
    flags = ["--manifests", str(folder / "manifests"), "--state", str(folder / "state")]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        for more in (
            ["--listen", place, "--monitoring-listen", "127.0.0.1:0"],
            ["--listen", "127.0.0.1:0", "--monitoring-listen", place],
        ):
            answer = ran(*flags, *more)
            assert answer.returncode == 1, answer.stderr
            last = answer.stderr.splitlines()[-1]
            assert last.startswith("sluice-control: cannot listen on 127.0.0.1")
            assert "free the port" in last
            assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--source", "kubernetes"], 2, "--source: kubernetes is not there yet"),
        (["token", "a", "b", "c", "--state", "STATE"], 1, "nobody knows where the pod c is"),
        (["token", "a", "b", "c", *ALL_PLACES], 1, "Pod a/c: is not in"),
        ([*TOKEN, *ALL_PLACES], 1, "runs as ztunnel, not as b"),
        (["token", "a", "b", "--state", "FILE"], 1, "Not a directory: choose a folder"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_and_by_the_exit_code(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    code: int,
    said: str,
) -> None:
    manifests = folder / "manifests"
    places = {"STATE": folder / "state", "MANIFESTS": manifests, "FILE": manifests / "proxies.yaml"}
    monkeypatch.setattr(sys, "argv", ["sluice-control", *(str(places.get(f, f)) for f in flags)])
    assert main() == code
    out, err = capsys.readouterr()
    assert all(line.startswith("sluice-control: ") for line in err.splitlines())
    assert said in err
    assert out == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "nobody knows"), ("[", "nobody knows"), ('{"manifests": 7}', "nobody knows")],
)
def test_a_damaged_settings_file_is_as_good_as_none(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str,
    said: str,
) -> None:
    (folder / "settings.json").write_text(content)
    monkeypatch.setattr(sys, "argv", ["x", "token", "a", "b", "c", "--state", str(folder)])
    assert main() == 1
    assert said in capsys.readouterr().err


def test_an_unknown_flag_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sluice-control", "--no-such-flag"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "unrecognized arguments: --no-such-flag" in capsys.readouterr().err


@pytest.mark.slow
def test_a_token_without_a_pod_needs_no_manifests(folder: Path) -> None:
    answer = ran("token", "shop", "web", "--state", str(folder / "state"), "--lifetime", "60")
    claims = jwt.decode(answer.stdout.strip(), options={"verify_signature": False})
    assert "pod" not in claims["kubernetes.io"]
    assert claims["exp"] - claims["iat"] == 60


@pytest.mark.slow
def test_a_token_of_a_key_that_nobody_has_yet_says_so_once(folder: Path) -> None:
    words = ("token", "shop", "web", "--state", str(folder / "state"))

    first, second = ran(*words), ran(*words)

    assert f"a new key in {folder / 'state'}" in first.stderr
    assert second.stderr == ""
