"""A node proxy that could serve no pod says at its start what it lacks, and ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.netns, pytest.mark.slow]


@pytest.mark.parametrize(
    ("rights", "sentence"),
    [
        ("sys_admin", "entering a pod's network namespace (setns): Operation not permitted"),
        ("net_admin,-net_raw", "PACKET_MARK: marking packets (SO_MARK): Operation not permitted"),
    ],
)
def test_a_proxy_without_its_rights_does_not_start(
    tmp_path: Path, rights: str, sentence: str
) -> None:
    fewer = ["setpriv", f"--bounding-set=-{rights}", f"--inh-caps=-{rights}"]
    done = subprocess.run(
        [*fewer, sys.executable, "-m", "ztunnel"],
        env={
            "PATH": os.environ["PATH"],
            "NODE_NAME": "node-a",
            "XDS_ADDRESS": "",
            "CA_ADDRESS": "",
            "INPOD_UDS": str(tmp_path / "zds.sock"),
            "SLUICE_ADMIN_PORT": "0",
            "SLUICE_STATS_PORT": "0",
            "SLUICE_READINESS_PORT": "0",
            "ZTUNNEL_WORKER_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )

    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert sentence in said
    assert "start it as root" in said
    assert 'code="right_missing"' in said
