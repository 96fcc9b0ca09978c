"""Runs iptables (its nf_tables variant) inside a pod's network namespace.

1. The programs are started by a thread that is in the pod only while it starts them: a child keeps
   the namespace of the thread that made it.
2. Everything here blocks for some milliseconds: call it in a worker thread.
"""

import subprocess
from typing import Final

from mesh.errors import ConfigError, UnavailableError
from mesh.redirection.iptables import change
from mesh.redirection.rules import Family, Rule
from mesh.runtime.netns import inside

PROGRAM_SECONDS: Final = 10.0
"""How long iptables may take; it takes some milliseconds."""

_PREFIX: Final = {Family.V4: "iptables-nft", Family.V6: "ip6tables-nft"}
_ENVIRONMENT: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


class FirewallMissingError(ConfigError):
    """The iptables programs are not installed on the node."""

    code = "firewall_missing"

    def __init__(self, program: str) -> None:
        """Keep the program's name."""
        super().__init__((f"no program {program}: install the Debian package iptables",))
        self.program = program


class FirewallRefusedError(UnavailableError):
    """The kernel, or iptables, does not take a pod's rules."""

    code = "firewall_refused"

    def __init__(self, program: str, reason: str) -> None:
        """Keep the program and what it said."""
        super().__init__(f"{program}: {reason}")
        self.program, self.reason = program, reason


def saved_rules(netns: int, family: Family) -> str:
    """All rules of a namespace, as iptables-save prints them.

    Raises:
        NetnsGoneError: the descriptor is no network namespace.
        FirewallMissingError: not installed.
        FirewallRefusedError: the kernel has no such tables.
    """
    return _run(netns, f"{_PREFIX[family]}-save", "")


def set_rules(netns: int, family: Family, wanted: tuple[Rule, ...]) -> bool:
    """Make our rules in a namespace the wanted ones; rules of others stay as they are.

    Returns:
        Whether something had to be changed.

    Raises:
        NetnsGoneError: the descriptor is no network namespace.
        FirewallMissingError: not installed.
        FirewallRefusedError: a rule needs what the kernel does not have; a table is as before.
    """
    text = change(saved_rules(netns, family), wanted)
    if text:
        _run(netns, f"{_PREFIX[family]}-restore", text, "--noflush")
    return bool(text)


def _run(netns: int, program: str, text: str, *words: str) -> str:
    pipe = subprocess.PIPE
    try:
        with inside(netns):
            child = subprocess.Popen(  # noqa: S603 - fixed programs, words of our own
                (program, *words),
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                text=True,
                env=_ENVIRONMENT,
            )
    except FileNotFoundError as error:
        raise FirewallMissingError(program) from error
    except OSError as error:
        raise FirewallRefusedError(program, error.strerror or str(error)) from error
    with child:
        try:
            printed, complaint = child.communicate(text, timeout=PROGRAM_SECONDS)
        except subprocess.TimeoutExpired as error:
            child.kill()
            raise FirewallRefusedError(program, f"took over {PROGRAM_SECONDS:g} s") from error
    if child.returncode:
        reason = " ".join(complaint.split()) or f"exit code {child.returncode}"
        raise FirewallRefusedError(program, reason)
    return printed
