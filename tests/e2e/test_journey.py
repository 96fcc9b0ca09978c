"""The first journey: an unmodified program, mutual TLS between nodes, and a refusal."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.mesh import Lab, lab, wait_until
from tests.e2e.worlds import SHOP, STRICT

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(120)]

FRONT = "spiffe://cluster.local/ns/shop/sa/front"
STOCK = "spiffe://cluster.local/ns/shop/sa/stock"


def host_network() -> set[str]:
    """Links and rules of the namespace that the lab was started from."""
    told = set()
    for words in ("ip -o link", "ip rule", "iptables-save", "nft list ruleset"):
        done = subprocess.run(words.split(), capture_output=True, text=True, check=True)
        lines = (line.partition(" [")[0] for line in done.stdout.splitlines())  # no counters
        told |= {line for line in lines if not line.startswith("#")}
    return told


@pytest.fixture(scope="module")
def before() -> set[str]:
    """The host's network before there is a lab."""
    return host_network()


@pytest.fixture(scope="module")
def mesh(before: set[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two nodes with a shop in the mesh and a yard outside of it."""
    del before  # it had to be seen first
    manifest = tmp_path_factory.mktemp("journey") / "shop.yaml"
    manifest.write_text(SHOP + "---" + STRICT)
    with lab("journey", manifest) as made:
        yield made


def access_lines(mesh: Lab, node: str) -> list[str]:
    """The connections that a node's proxy has written down."""
    logs = mesh.must("logs", f"ztunnel@{node}")
    return [line for line in logs.splitlines() if "connection complete" in line]


def test_a_program_reaches_a_service_through_the_tunnel(mesh: Lab) -> None:
    answer = mesh.curl("shop/front", "http://stock.shop/hello")

    assert answer["path"] == "/hello"
    assert answer["namespace"] == "shop"
    assert str(answer["pod"]).startswith("stock-")


def test_both_proxies_write_both_identities_down(mesh: Lab) -> None:
    mesh.curl("shop/front", "http://stock.shop/written-down")

    for node, direction in (("node-1", "outbound"), ("node-2", "inbound")):

        def told(node: str = node, direction: str = direction) -> bool:
            return any(
                f'src.identity="{FRONT}"' in line
                and f'dst.identity="{STOCK}"' in line
                and f'direction="{direction}"' in line
                for line in access_lines(mesh, node)
            )

        wait_until(f"both identities in the log of {node}", told, 3)


def test_nothing_of_the_conversation_is_on_the_wire(mesh: Lab, tmp_path: Path) -> None:
    capture = tmp_path / "wire.pcap"
    with mesh.program(
        "node-2", "tcpdump", "-i", "any", "--immediate-mode", "-U", "-w", str(capture),
        "tcp port 15008",
    ):  # fmt: skip
        wait_until("tcpdump to listen", capture.exists, 5)
        mesh.curl("shop/front", "http://stock.shop/a-secret-that-nobody-may-read")

    octets = capture.read_bytes()
    assert len(octets) > 1000
    assert b"a-secret-that-nobody-may-read" not in octets
    assert b"\x17\x03\x03" in octets  # TLS application data


def test_the_application_sees_its_clients_own_address(mesh: Lab) -> None:
    mesh.curl("shop/front", "http://stock.shop/from-whom")
    front = json.loads(mesh.must("get", "pod", "shop/front", "-o", "json"))
    address = front["status"]["podIP"]

    pods = json.loads(mesh.must("get", "pods", "-o", "json"))["items"]
    stocks = [pod["metadata"]["name"] for pod in pods if pod["metadata"]["name"][:6] == "stock-"]
    logs = "".join(mesh.must("logs", f"shop/{name}") for name in stocks)
    assert f"Echoing back request made to /from-whom to client ({address}" in logs


def test_a_stranger_in_plain_text_is_refused(mesh: Lab) -> None:
    assert mesh.refused("yard/outside", "http://stock.shop/")

    def told() -> bool:
        return any(
            "policy" in line and "istio_converted_static_strict" in line
            for line in access_lines(mesh, "node-2")
        )

    wait_until("the refusal in the log", told, 3)


def test_a_pod_is_reached_by_its_address_and_by_its_headless_service(mesh: Lab) -> None:
    pods = json.loads(mesh.must("get", "pods", "-o", "json"))["items"]
    addresses = [
        ip["ip"]
        for pod in pods
        if pod["metadata"]["name"].startswith("stock-")
        for ip in pod["status"]["podIPs"]
    ]
    assert len(addresses) >= 2

    for address in addresses:
        host = f"[{address}]" if ":" in address else address
        assert mesh.curl("shop/front", f"http://{host}:3000/")["namespace"] == "shop"
    assert mesh.curl("shop/front", "http://stock-pods.shop:3000/")["namespace"] == "shop"


def test_both_endpoints_of_a_service_get_their_share(mesh: Lab) -> None:
    seen = {mesh.curl("shop/front", "http://stock.shop/")["pod"] for _ in range(12)}

    assert len(seen) == 2


def test_a_destination_that_nobody_knows_is_passed_through(mesh: Lab) -> None:
    with mesh.program("external", "python3", "-m", "http.server", "8099", "--bind", "0.0.0.0"):
        address = mesh.exec("external", "hostname", "-I").split()[0]
        url = f"http://{address}:8099/"

        def served() -> bool:
            done = mesh.run("exec", "shop/front", "--", "curl", "-sS", "--max-time", "2", url)
            return "Directory listing" in done.stdout

        wait_until("the external server", served, 10)


def test_the_exit_code_of_a_command_is_the_exit_code(mesh: Lab) -> None:
    assert mesh.run("exec", "shop/front", "--", "sh", "-c", "exit 7").returncode == 7


def test_up_again_changes_nothing(mesh: Lab) -> None:
    before = mesh.component("ztunnel@node-1")

    mesh.must("up", "--nodes", "2", seconds=60)

    assert mesh.component("ztunnel@node-1") == before


def test_the_programs_of_the_nodes_say_that_they_are_ready(mesh: Lab) -> None:
    ready = mesh.exec("node-1", "curl", "-sS", "http://127.0.0.1:15021/healthz/ready")

    assert ready.strip() == "ready"


def test_the_host_has_no_part_of_it(before: set[str], mesh: Lab) -> None:
    del mesh

    assert host_network() <= before
