"""Set-up without root says exactly what is missing, and changes nothing."""

import subprocess
from pathlib import Path

import pytest

from tests.repo.tree import ROOT

SCRIPT = ROOT / "scripts" / "system-packages"


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """As a user who finds programs in one folder only, whoever runs the tests."""
    script = SCRIPT.read_text().replace("PATH=$PATH:/usr/sbin:/sbin", "PATH=$PATH")
    command = ["/bin/sh", "-c", script, "system-packages", *words]
    environ = {"PATH": str(folder)}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def put(folder: Path, program: str, says: str = "") -> None:
    (folder / program).write_text(f"#!/bin/sh\necho {says}\n")
    (folder / program).chmod(0o755)


def test_what_is_missing_is_named_with_the_command_that_mends_it(tmp_path: Path) -> None:
    put(tmp_path, "id", "1000")
    for program in ("iptables", "ip", "curl", "unshare"):
        put(tmp_path, program)

    done = run(tmp_path, "run")

    assert done.returncode == 1
    listed = "nftables ipset conntrack ethtool tcpdump"
    assert f"missing on this machine (names of the Debian packages): {listed}" in done.stderr
    assert f"as root, apt-get install --no-install-recommends {listed}" in done.stderr


def test_where_nothing_is_missing_nothing_is_done(tmp_path: Path) -> None:
    programs = "iptables nft ip ipset conntrack ethtool tcpdump curl unshare"
    for program in programs.split():
        put(tmp_path, program)

    done = run(tmp_path, "run")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("words", [(), ("everything",)])
def test_wrong_use_is_told(words: tuple[str, ...]) -> None:
    done = subprocess.run([SCRIPT, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage" in done.stderr
