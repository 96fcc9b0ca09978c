"""Network namespaces joined by a cable, with the redirect rules that a pod has.

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
WAYPOINT_IP: Final = "10.77.0.3"
SERVICE_IP: Final = "10.77.1.1"
"""Nobody has it: the client's proxy takes what goes there."""
REQUEST_PORT: Final = 8001
SINK_PORT: Final = 8002
BODY_PORT: Final = 8003
CALL_PORT: Final = 8004

REDIRECT: Final = f"""*nat
-A OUTPUT -p tcp -d {SERVER_IP},{SERVICE_IP} --dport 8000:8999 -j REDIRECT --to-ports 15001
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
    waypoint: str = ""
    """Between them (10.77.0.3); empty when there is none."""


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
    with _namespaces(pair.client, pair.server):
        run("ip", "-n", pair.client, "link", "add", "eth0", "type", "veth",
            "peer", "name", "eth0", "netns", pair.server)  # fmt: skip
        for namespace, address in ((pair.client, CLIENT_IP), (pair.server, SERVER_IP)):
            _plug_in(namespace, "eth0", address)
        if redirect:
            _rules(pair)
        yield pair


@contextmanager
def cable_with_waypoint(name: str) -> Iterator[Cable]:
    """As `cable`, with a third namespace: `NAME-waypoint` is the switch that both are plugged into.

    The client's rules redirect what goes to SERVICE_IP, too.
    """
    three = Cable(f"{name}-client", f"{name}-server", f"{name}-waypoint")
    with _namespaces(three.client, three.server, three.waypoint):
        run("ip", "-n", three.waypoint, "link", "add", "switch", "type", "bridge")
        for namespace, address in ((three.client, CLIENT_IP), (three.server, SERVER_IP)):
            run("ip", "-n", namespace, "link", "add", "eth0", "type", "veth",
                "peer", "name", namespace[-6:], "netns", three.waypoint)  # fmt: skip
            port = ("link", "set", namespace[-6:], "master", "switch", "up")
            run("ip", "-n", three.waypoint, *port)
            _plug_in(namespace, "eth0", address)
        _plug_in(three.waypoint, "switch", WAYPOINT_IP)
        run("ip", "-n", three.client, "route", "add", SERVICE_IP, "dev", "eth0")
        _rules(three)
        yield three


@contextmanager
def _namespaces(*names: str) -> Iterator[None]:
    try:
        for name in names:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        yield
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _plug_in(namespace: str, link: str, address: str) -> None:
    run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", link)
    run("ip", "-n", namespace, "link", "set", link, "up")
    run(*inside(namespace, "sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65000",
                "net.ipv4.tcp_tw_reuse=1"))  # fmt: skip


def _rules(pair: Cable) -> None:
    restore = ("iptables-restore", "--noflush")
    run(*inside(pair.client, *restore), given=REDIRECT)
    run(*inside(pair.server, *restore), given=RETURN_PATH)
    for words in (
        ("rule", "add", "fwmark", "0x111/0xfff", "lookup", "100", "pref", "32764"),
        ("route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "100"),
    ):
        run("ip", "-n", pair.server, *words)
