"""Two network namespaces joined by a cable, with the redirect rules that a pod has.

Run inside `scripts/private-namespace`: nothing here touches the host's namespace.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CLIENT_IP: Final = "10.77.0.1"
SERVER_IP: Final = "10.77.0.2"
REQUEST_PORT: Final = 8001
SINK_PORT: Final = 8002

REDIRECT: Final = f"""*nat
-A OUTPUT -p tcp -d {SERVER_IP} --dport 8000:8999 -j REDIRECT --to-ports 15001
COMMIT
"""
"""Only the applications' ports: an Envoy, which sets no mark, must not capture itself."""

RETURN_PATH: Final = """*mangle
-A PREROUTING -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff
-A OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark
COMMIT
"""
"""Replies to a proxy that dials with its client's address come back to it."""


@dataclass(frozen=True, slots=True)
class Cable:
    """A pair of namespaces: `client` (10.77.0.1) and `server` (10.77.0.2)."""

    client: str
    server: str


def path_of(namespace: str) -> Path:
    """Where `ip netns` keeps it."""
    return Path("/run/netns") / namespace


def inside(namespace: str, *command: str) -> list[str]:
    """The command line that runs `command` in a namespace (the file systems stay)."""
    return ["nsenter", f"--net={path_of(namespace)}", "--", *command]


def run(*command: str, given: str | None = None) -> None:
    """Run to the end.

    Raises:
        subprocess.CalledProcessError: it failed; what it said is on the standard error.
    """
    subprocess.run(command, input=given, text=True, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def cable(name: str, *, redirect: bool) -> Iterator[Cable]:
    """Make a pair of namespaces `NAME-client` and `NAME-server`; both go at the end."""
    pair = Cable(f"{name}-client", f"{name}-server")
    try:
        for namespace in (pair.client, pair.server):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "-n", pair.client, "link", "add", "eth0", "type", "veth",
            "peer", "name", "eth0", "netns", pair.server)  # fmt: skip
        for namespace, address in ((pair.client, CLIENT_IP), (pair.server, SERVER_IP)):
            run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", namespace, "link", "set", "eth0", "up")
            run(*inside(namespace, "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65000",
                        "net.ipv4.tcp_tw_reuse=1"))  # fmt: skip
        if redirect:
            _rules(pair)
        yield pair
    finally:
        for namespace in (pair.client, pair.server):
            subprocess.run(["ip", "netns", "delete", namespace], check=False, capture_output=True)


def _rules(pair: Cable) -> None:
    restore = ("iptables-restore", "--noflush")
    run(*inside(pair.client, *restore), given=REDIRECT)
    run(*inside(pair.server, *restore), given=RETURN_PATH)
    for words in (
        ("rule", "add", "fwmark", "0x111/0xfff", "lookup", "100", "pref", "32764"),
        ("route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "100"),
    ):
        run("ip", "-n", pair.server, *words)
