"""What is tried at start: as root, and as somebody who may not."""

import subprocess
import sys

import pytest

from mesh.model.names import PACKET_MARK
from mesh.runtime.probe import try_sockets

pytestmark = pytest.mark.netns
TRY = """
from mesh.errors import ConfigError
from mesh.runtime.probe import try_sockets
try:
    try_sockets({mark}, spoofing={spoofing})
except ConfigError as error:
    print(error.code, *error.problems, sep="\\n")
"""


def told(*limits: str, mark: int | None = PACKET_MARK, spoofing: bool = True) -> list[str]:
    """The error's code and its sentences, in a process with fewer rights."""
    script = TRY.format(mark=mark, spoofing=spoofing)
    words = ["setpriv", *limits, sys.executable, "-c", script]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()


def without(*capabilities: str) -> list[str]:
    listed = ",".join(f"-{each}" for each in capabilities)
    return [f"--bounding-set={listed}", f"--inh-caps={listed}"]


def test_root_may_do_everything() -> None:
    try_sockets(PACKET_MARK, spoofing=True)


def test_each_right_that_is_missing_is_named_with_its_mend() -> None:
    code, *sentences = told("--reuid=65534", "--regid=65534", "--clear-groups")

    assert code == "right_missing"
    (setns, mark, transparent) = sentences
    assert "(setns): Operation not permitted: start it as root, with CAP_SYS_ADMIN" in setns
    assert "PACKET_MARK: marking packets (SO_MARK): Operation not permitted" in mark
    assert "ENABLE_ORIG_SRC: dialling from a client's address (IP_TRANSPARENT)" in transparent


def test_what_is_not_wanted_is_not_needed() -> None:
    rights = without("net_admin", "net_raw")

    assert len(told(*rights)) == 3
    assert told(*rights, mark=None, spoofing=False) == []
    assert len(told(*without("sys_admin"), mark=None, spoofing=False)) == 2
