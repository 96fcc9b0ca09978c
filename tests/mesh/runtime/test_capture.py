"""Captured and freed, with connections that live through it: kernel, rules and route together."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from mesh.redirection.rules import Capture, Family
from mesh.runtime.capture import capture_pod, clear_pod, families, free_pod, raise_loopback
from mesh.runtime.firewall import saved_rules
from mesh.runtime.netlink_wiring import Wiring, set_kernel, wire
from mesh.runtime.netns import create_netns, inside, open_netns, remove_netns

pytestmark = pytest.mark.netns
POD = Path("/run/netns/test-capture-pod")
NODE_IP, POD_IP, CLIENT_IP = "10.78.0.1", "10.78.0.2", "10.78.0.99"
NODE_IP6, POD_IP6 = "fd78::1", "fd78::2"
both_families = pytest.mark.parametrize(
    ("node", "pod_ip"), [(NODE_IP, POD_IP), (NODE_IP6, POD_IP6)], ids=["v4", "v6"]
)


@pytest.fixture
def pod() -> Iterator[int]:
    """A pod with a cable to this namespace, which plays the rest of the world."""
    create_netns(POD)
    netns = open_netns(POD)
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    raise_loopback(netns)
    wire(here, lambda wiring: wiring.veth("test-capture", "eth0", netns))
    wire(netns, lambda wiring: wiring.up("eth0"))
    for place, link, addresses in (
        (here, "test-capture", (f"{NODE_IP}/24", f"{NODE_IP6}/64")),
        (netns, "eth0", (f"{POD_IP}/24", f"{POD_IP6}/64")),
    ):
        for address in addresses:
            wire(place, partial(Wiring.address, name=link, address=address))
    yield netns
    wire(here, lambda wiring: wiring.remove("test-capture"))
    os.close(netns)
    os.close(here)
    remove_netns(POD)


def listener(host: str, port: int = 0) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((host, port))
    made.listen()
    made.settimeout(3)
    return made


def proxys(netns: int, host: str, port: int) -> socket.socket:
    """A listening socket of the node proxy's, in the pod."""
    with inside(netns):
        made = listener("::" if ":" in host else "0.0.0.0", port)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x539)
    return made


def dial(to: socket.socket, host: str | None = None) -> socket.socket:
    name = to.getsockname()
    return socket.create_connection((host or name[0], name[1]), timeout=3)


def carries(one: socket.socket, other: socket.socket) -> bool:
    """Whether octets pass in both directions."""
    for sender, receiver in ((one, other), (other, one)):
        receiver.settimeout(0.5)
        try:
            sender.sendall(b"ping")
            if receiver.recv(4) != b"ping":
                return False
        except OSError:
            return False
    return True


@contextmanager
def accepted(listening: socket.socket, client: socket.socket) -> Iterator[socket.socket]:
    with listening, client, closing(listening.accept()[0]) as made:
        yield made


@both_families
def test_connections_that_were_open_live_through_capture_freedom_and_capture_again(
    pod: int, node: str, pod_ip: str
) -> None:
    out_server = listener(node)
    with inside(pod):
        in_server = listener(pod_ip)
        out_client = dial(out_server)
    in_client = dial(in_server)
    with accepted(out_server, out_client) as out, accepted(in_server, in_client) as into:
        for step in (
            lambda: capture_pod(pod, Capture()),
            lambda: free_pod(pod),
            lambda: capture_pod(pod, Capture()),
            lambda: clear_pod(pod),
            lambda: capture_pod(pod, Capture()),
        ):
            step()
            assert carries(out_client, out)
            assert carries(in_client, into)


@both_families
def test_new_connections_of_a_captured_pod_reach_the_proxy_or_nothing(
    pod: int, node: str, pod_ip: str
) -> None:
    with inside(pod):
        app = listener(pod_ip)
    with listener(node) as server, app:
        capture_pod(pod, Capture())
        with inside(pod), pytest.raises(ConnectionRefusedError):
            dial(server)
        with pytest.raises(ConnectionRefusedError):
            dial(app)

        with proxys(pod, node, 15001) as outbound, proxys(pod, node, 15006) as inbound:
            with inside(pod):
                client = dial(server)
            with closing(outbound.accept()[0]) as captured, client:
                assert carries(client, captured)
            with dial(app) as client, closing(inbound.accept()[0]) as captured:
                assert carries(client, captured)

        with inside(pod), dial(app) as client, closing(app.accept()[0]) as itself:
            assert carries(client, itself)


@pytest.mark.parametrize("node", [NODE_IP, NODE_IP6], ids=["v4", "v6"])
def test_a_captured_connection_goes_on_when_the_pod_is_freed(pod: int, node: str) -> None:
    capture_pod(pod, Capture())
    with listener(node) as server, proxys(pod, node, 15001) as proxy:
        with inside(pod):
            client = dial(server)
        with client, closing(proxy.accept()[0]) as captured:
            free_pod(pod)
            assert carries(client, captured)
            with inside(pod), dial(server) as free, closing(server.accept()[0]) as direct:
                assert carries(free, direct)


def proxied_to_application(netns: int, app: socket.socket) -> socket.socket:
    """What the proxy dials for a client: from the client's address, marked."""
    with inside(netns):
        made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x539)
    made.setsockopt(socket.SOL_IP, 19, 1)  # IP_TRANSPARENT
    made.settimeout(1)
    made.bind((CLIENT_IP, 0))
    made.connect(app.getsockname())
    return made


@pytest.mark.slow
def test_an_application_s_answers_reach_the_proxy_until_the_pod_is_cleared(pod: int) -> None:
    capture_pod(pod, Capture())
    with inside(pod):
        app = listener(POD_IP)
    with app, proxied_to_application(pod, app) as proxy, closing(app.accept()[0]) as application:
        assert application.getpeername()[0] == CLIENT_IP
        assert carries(proxy, application)
        free_pod(pod)
        assert carries(proxy, application)
        clear_pod(pod)
        assert not carries(proxy, application)


def test_capture_may_be_repeated_and_mends_what_drifted(pod: int) -> None:
    assert capture_pod(pod, Capture())
    assert not capture_pod(pod, Capture())

    set_kernel(pod, {"netfilter/nf_conntrack_tcp_loose": "1"})

    assert capture_pod(pod, Capture())
    assert not capture_pod(pod, Capture())


def test_a_cleared_pod_has_nothing_of_ours(pod: int) -> None:
    capture_pod(pod, Capture())

    clear_pod(pod)

    for family in Family:
        assert "-A" not in saved_rules(pod, family)
    clear_pod(pod)


def test_a_pod_without_ipv6_is_captured_in_ipv4(pod: int) -> None:
    set_kernel(pod, {"ipv6/conf/lo/disable_ipv6": "1"})

    assert families(pod) == (Family.V4,)
    assert capture_pod(pod, Capture())
    assert "ISTIO" not in saved_rules(pod, Family.V6)


TRY = """
from mesh.errors import ConfigError
from mesh.runtime.capture import try_capture
try:
    try_capture()
except ConfigError as error:
    print(error.code, error)
"""


def tried(*, setting: str = "true", limit: str = "") -> str:
    """What is told where something is missing: mounts of its own, or fewer rights."""
    script = f'{setting}; exec {limit} "$0" -c "$1"'
    words = ["unshare", "--mount", "sh", "-euc", script, sys.executable, TRY]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
def test_a_machine_that_can_capture_is_told_by_trying() -> None:
    assert tried() == ""


@pytest.mark.slow
def test_a_machine_that_cannot_capture_is_told_before_the_first_pod(tmp_path: Path) -> None:
    refusing = tmp_path / "refusing"
    refusing.write_text(
        "#!/bin/sh\ncat >/dev/null\n"
        'echo "Extension CONNMARK revision 0 not supported, missing kernel module?" >&2\nexit 2\n'
    )
    refusing.chmod(0o755)
    program = shutil.which("iptables-nft-restore", path="/usr/sbin:/sbin:/usr/bin")

    said = tried(setting=f"mount --bind {refusing} {program}")

    assert said.startswith("right_missing capturing connections")
    assert "Extension CONNMARK revision 0 not supported" in said
    assert "on a kernel that can do it" in said


@pytest.mark.slow
def test_a_kernel_without_connection_tracking_is_named() -> None:
    said = tried(setting="mount -t tmpfs none /proc/sys/net")

    assert said.startswith("kernel_lacks this kernel has no connection tracking")
    assert "load its module" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "doing"), [("net_admin", "capturing connections"), ("sys_admin", "(unshare)")]
)
def test_a_right_that_capturing_lacks_is_named(right: str, doing: str) -> None:
    said = tried(limit=f"setpriv --bounding-set=-{right} --inh-caps=-{right}")

    assert said.startswith("right_missing")
    assert doing in said
    assert f"CAP_{right.upper()}" in said
