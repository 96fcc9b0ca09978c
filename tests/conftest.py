"""Rules for every test of the tree.

1. Tests marked `netns` run in a network namespace that `scripts/private-namespace` made, or fail:
   none may touch the host's.
2. Each worker of xdist has such a namespace of its own (`make test`), and a file's tests stay
   together in one: names need to be unique within a file, names of labs in the whole tree.
3. Nothing is skipped: a test that cannot run says why by failing (see CONTRIBUTING.md).
"""

import os
from pathlib import Path

import pytest

OUR_NETNS = "/proc/self/ns/net"
skipped: list[str] = []


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse to run a test of the kernel in the host's namespace."""
    if item.get_closest_marker("netns"):
        host = os.environ.get("SLUICE_HOST_NETNS")
        if host is None or int(host) == Path(OUR_NETNS).stat().st_ino:
            pytest.fail("needs root and a namespace of its own: run `make test`", pytrace=False)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember what was skipped."""
    if report.skipped and not hasattr(report, "wasxfail"):
        skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run that skipped something is not a green run."""
    if skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
