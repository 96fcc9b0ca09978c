"""A proxy for one workload, of files alone: no control plane, no agent, no authority."""

import datetime as dt
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from mesh.model.names import PACKET_MARK
from mesh.redirection.rules import Capture
from mesh.runtime.capture import capture_pod
from mesh.runtime.netlink_wiring import Wiring, wire
from mesh.runtime.netns import create_netns, inside, open_netns, remove_netns, socket_in
from tests.pki import Authority
from tests.ztunnel.proxy import PATIENCE_S, Proxy

pytestmark = [pytest.mark.netns, pytest.mark.slow]
CALLER, CALLED = "10.77.0.1", "10.77.0.2"
PORT = 8080

WORLD = f"""
workloads:
- {{uid: a, name: caller, namespace: shop, serviceAccount: caller, trustDomain: cluster.local,
   workloadIps: [{CALLER}], protocol: HBONE, status: Healthy}}
- {{uid: b, name: called, namespace: shop, serviceAccount: called, trustDomain: cluster.local,
   workloadIps: [{CALLED}], protocol: HBONE, status: Healthy}}
"""


class Machine:
    """A network namespace with a proxy of its own."""

    def __init__(self, name: str, folder: Path, authority: Authority) -> None:
        self.name, self.folder, self.authority = name, folder / name, authority
        self.path = Path(f"/run/netns/test-dedicated-{name}")
        self.folder.mkdir()
        create_netns(self.path)
        self.netns = open_netns(self.path)
        self.issue()

    def issue(self, lasts: dt.timedelta = dt.timedelta(hours=2)) -> None:
        """Write key and certificate anew."""
        issued = self.authority.issue(self.authority.identity("shop", self.name), lasts=lasts)
        for file, octets in (
            ("key.pem", issued.key),
            ("cert.pem", issued.chain),
            ("root.pem", issued.roots),
        ):
            beside = self.folder / f".{file}"
            beside.write_bytes(octets)
            beside.rename(self.folder / file)
        (self.folder / "world.yaml").write_text(WORLD)

    def run(self, *words: str) -> None:
        with inside(self.netns):
            child = subprocess.Popen(words)
        assert child.wait(PATIENCE_S) == 0

    def proxy(self, **more: str) -> Proxy:
        files = {
            variable: str(self.folder / file)
            for variable, file in (
                ("CERT_FILE", "cert.pem"),
                ("KEY_FILE", "key.pem"),
                ("ROOT_FILE", "root.pem"),
                ("LOCAL_XDS_PATH", "world.yaml"),
            )
        }
        return Proxy(
            {
                "PROXY_MODE": "dedicated",
                "PROXY_WORKLOAD_INFO": f"shop/{self.name}/{self.name}",
                "XDS_ADDRESS": "",
                "CA_ADDRESS": "",
                **files,
                **more,
            },
            netns=self.netns,
        )

    def close(self) -> None:
        os.close(self.netns)
        remove_netns(self.path)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    """Two, joined by a cable; the first one's calls to the port go to its proxy."""
    authority = Authority()
    with ExitStack() as stack:
        caller, called = (
            stack.enter_context(closing(Machine(name, tmp_path, authority)))
            for name in ("caller", "called")
        )

        def join(wiring: Wiring) -> None:
            wiring.veth("cable", "cable", called.netns)
            wiring.address("cable", f"{CALLER}/24")
            wiring.up("lo")

        def answer(wiring: Wiring) -> None:
            wiring.up("cable")
            wiring.up("lo")
            wiring.address("cable", f"{CALLED}/24")

        wire(caller.netns, join)
        wire(called.netns, answer)
        caller.run(
            *("iptables-nft", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-d", CALLED),
            *("--dport", str(PORT), "-j", "REDIRECT", "--to-ports", "15001"),
        )
        yield caller, called


def greeter(machine: Machine) -> socket.socket:
    """An application that greets whoever comes with the address from which it is called."""
    listener = socket_in(machine.netns)
    listener.setblocking(True)
    listener.bind((CALLED, PORT))
    listener.listen()

    def serve() -> None:
        while True:
            try:
                connection, (host, _) = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(f"hello {host}".encode())

    threading.Thread(target=serve, daemon=True).start()
    return listener


def greeting(machine: Machine) -> str:
    with socket_in(machine.netns) as client:
        client.settimeout(PATIENCE_S)
        client.connect((CALLED, PORT))
        return client.recv(100).decode()


def test_two_proxies_of_files_alone_carry_a_connection(machines: tuple[Machine, Machine]) -> None:
    caller, called = machines
    with caller.proxy() as near, called.proxy() as far, closing(greeter(called)):
        near.wait_line("certificate")
        far.wait_line("certificate")
        deadline = time.monotonic() + PATIENCE_S
        while not (said := heard(caller)):
            assert time.monotonic() < deadline
        # Without marks and rules nothing would bring answers to the caller's address back here.
        assert said == f"hello {CALLED}"
        identity = 'identity="spiffe://cluster.local/ns/shop/sa/{}"'
        near.wait_line(f"src.{identity.format('caller')}.*dst.{identity.format('called')}")
        far.wait_line(f"src.{identity.format('caller')}.*inbound")


def test_with_marks_and_the_rules_of_a_pod_the_application_sees_its_client(
    machines: tuple[Machine, Machine],
) -> None:
    caller, called = machines
    capture_pod(called.netns, Capture())  # as the agent does for a pod; here the operator's task
    original = {"ENABLE_ORIG_SRC": "true", "PACKET_MARK": str(PACKET_MARK)}
    with caller.proxy() as near, called.proxy(**original) as far, closing(greeter(called)):
        near.wait_line("certificate")
        far.wait_line("certificate")
        deadline = time.monotonic() + PATIENCE_S
        while not (said := heard(caller)):
            assert time.monotonic() < deadline
        assert said == f"hello {CALLER}"
        far.wait_line("src.identity=.*inbound")


def heard(machine: Machine) -> str:
    try:
        return greeting(machine)
    except OSError:
        return ""  # its proxy does not listen yet


def test_a_certificate_file_that_has_expired_is_named(machines: tuple[Machine, Machine]) -> None:
    caller, _ = machines
    caller.issue(dt.timedelta(minutes=1))  # it began an hour ago
    with caller.proxy() as proxy:
        proxy.wait_line("no certificate.*expired")
