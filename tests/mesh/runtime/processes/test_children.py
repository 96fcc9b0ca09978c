"""What the supervisor's children inherit, and when they are started again."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.runtime.processes.children import BACKOFF_MOST_S, Backoff, child_environment, exit_words
from tests.ztunnel.proxy import PATIENCE_S


def test_children_inherit_nothing_that_changes_what_tls_offers() -> None:
    inherited = child_environment(
        {"OPENSSL_CONF": "/evil.cnf", "OPENSSL_MODULES": "/evil", "NODE_NAME": "a"}
    )
    assert inherited["OPENSSL_CONF"] == os.devnull
    assert "OPENSSL_MODULES" not in inherited
    assert inherited["NODE_NAME"] == "a"


def test_with_that_environment_the_post_quantum_key_exchange_is_there() -> None:
    program = "from mesh.runtime import tls; tls.self_test()"
    subprocess.run(
        [sys.executable, "-c", program],
        env=child_environment({"OPENSSL_CONF": "/evil.cnf"}),
        check=True,
        timeout=PATIENCE_S,
    )


def test_the_first_restart_is_at_once_and_later_ones_are_not() -> None:
    backoff = Backoff()
    delays = [backoff.after(0.1) for _ in range(12)]
    assert delays[:4] == [0.0, 0.2, 0.4, 0.8]
    assert delays[-1] == BACKOFF_MOST_S
    assert backoff.after(60.0) == 0.0


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exit code 0"),
        (70, "exit code 70"),
        (-9, "killed by SIGKILL"),
        (-99, "killed by signal 99"),
    ],
)
def test_an_end_is_told_in_words(code: int, words: str) -> None:
    assert exit_words(code) == words


ORPHAN = """
import os, signal, sys, time
from mesh.runtime.processes.children import Child
reader, writer = os.pipe()
child = Child.start("http.server", ["0", "--bind", "127.0.0.1"], writer, os.environ, 0.0)
print(child.process.pid, flush=True)
signal.pause()
"""


@pytest.mark.slow
def test_a_child_that_knows_nothing_of_it_dies_with_its_parent() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    ended = os.pidfd_open(pid)
    assert Path(f"/proc/{pid}").exists()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert select.select([ended], [], [], PATIENCE_S)[0]
    os.close(ended)
