"""What goes wrong from outside: a clear error, and nobody else is disturbed."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.mesh import LINES, SERVER, Lab, Program, child_of, lab, wait_until
from tests.e2e.worlds import SHOP, STRICT, lines_pod
from tests.repo.tree import ROOT

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(120)]
PORT = "9000"
GOOD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good, namespace: shop}\n---\n"
OBJECT = "apiVersion: v1\nkind: %s\nmetadata: {name: x, namespace: shop}\nspec: %s"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")

LATER = """
apiVersion: v1
kind: Namespace
metadata: {name: later, labels: {istio.io/dataplane-mode: %s}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: stock, namespace: later}
"""

# Talks to the tunnel's port as no proxy does; prints what came back until the other side closed.
NONSENSE = """
import socket, ssl, sys
host, what = sys.argv[1:]
def plain(octets):
    with socket.create_connection((host, 15008), 5) as end:
        end.settimeout(8)
        end.sendall(octets)
        try:
            return end.recv(4096)
        except ConnectionResetError:
            return b""
def without_alpn():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, 15008), 5) as end:
        try:
            with context.wrap_socket(end) as secure:
                return secure.recv(4096)
        except (ssl.SSLError, ConnectionResetError):
            return b""
match what:
    case "garbage":
        answer = plain(bytes(range(256)) * 8)
    case "http1":
        answer = plain(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    case "half":
        with socket.create_connection((host, 15008), 5) as end:
            end.sendall(b"\\x16\\x03\\x01\\x02")
        answer = b""
    case _:
        answer = without_alpn()
print(answer)
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The shop, STRICT, with a server of lines; and a namespace that is not enrolled yet."""
    manifest = tmp_path_factory.mktemp("bad") / "shop.yaml"
    manifest.write_text(
        "---".join([SHOP, STRICT, lines_pod("lines", "shop", PORT), LATER % "none"])
    )
    with lab("bad", manifest) as made:
        yield made


@pytest.fixture
def talk(mesh: Lab) -> Iterator[Program]:
    """A connection from shop/front to shop/lines, which has to outlive the test."""
    words = (sys.executable, "-c", LINES, "lines.shop", PORT, "silent")
    with mesh.program("shop/front", *words) as program:
        assert program.hear() == "open"
        assert program.asks("before") == "BEFORE"
        yield program
        assert program.asks("after") == "AFTER"
        assert mesh.curl("shop/front", "http://stock.shop/")["namespace"] == "shop"


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ("a: b: c", "stdin, document 2"),
        ("kind: Podd\nmetadata: {name: x}", "stdin, document 2: Podd x: apiVersion: "),
        (OBJECT % ("Podd", "{}"), "Podd shop/x: kind Podd: unknown"),
        (
            OBJECT
            % ("Pod", "{serviceAccountName: y, containers: [{name: a, image: sluice/echo}]}"),
            "Pod shop/x: spec.serviceAccountName: there is no ServiceAccount shop/y",
        ),
        (
            OBJECT % ("Service", "{ports: [{port: many}]}"),
            "Service shop/x: spec.ports[0].port: must be a port number",
        ),
    ],
    ids=["not YAML", "no version", "unknown kind", "dangling reference", "wrong type"],
)
def test_a_bad_manifest_is_refused_with_all_that_came_with_it(
    mesh: Lab, talk: Program, bad: str, sentence: str
) -> None:
    done = mesh.run("apply", "-f", "-", given=GOOD + bad)

    assert done.returncode == 1
    assert sentence in done.stderr
    assert mesh.run("get", "cm", "shop/good").returncode == 1
    assert talk.asks("meanwhile") == "MEANWHILE"


def test_a_policy_that_can_only_be_obeyed_in_part_says_so_to_whoever_applies_it(mesh: Lab) -> None:
    rule = "{action: DENY, rules: [{to: [{operation: {methods: [GET]}}], from: [{source: {}}]}]}"
    policy = OBJECT % ("AuthorizationPolicy", rule)
    policy = policy.replace("apiVersion: v1", "apiVersion: security.istio.io/v1")
    try:
        done = mesh.run("apply", "-f", "-", given=policy)
        assert done.returncode == 0
        assert "warning: AuthorizationPolicy shop/x: spec.rules" in done.stderr
        assert "put a waypoint before the workloads" in done.stderr
    finally:
        mesh.must("delete", "AuthorizationPolicy", "shop/x")


def test_a_broken_file_in_the_folder_leaves_the_last_good_state_in_force(
    mesh: Lab, talk: Program
) -> None:
    policy = Path("/run/sluice/bad/manifests/PeerAuthentication.shop.default.json")
    good = policy.read_text()
    try:
        replace(policy, good[: len(good) // 2])

        def told() -> bool:
            page = mesh.exec("control", "curl", "-sS", "http://127.0.0.1:15014/debug/syncz")
            return any(policy.name in problem for problem in json.loads(page)["problems"])

        wait_until("the control plane to name the file", told)
        assert mesh.refused("yard/outside", "http://stock.shop/")
        mesh.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: other}")
        assert talk.asks("meanwhile") == "MEANWHILE"
    finally:
        replace(policy, good)


def replace(path: Path, text: str) -> None:
    """Put a file there by renaming, as writers of the folder do."""
    beside = path.with_name(f".{path.name}")
    beside.write_text(text)
    beside.rename(path)


def test_an_application_on_a_port_of_the_proxy_keeps_only_its_own_pod_out(
    mesh: Lab, talk: Program
) -> None:
    mesh.apply("---".join(lines_pod(name, "later", PORT) for name in ("squatter", "fine")))
    with mesh.program("later/squatter", sys.executable, "-c", SERVER, "15008"):
        wait_until("the squatter", lambda: "15008" in mesh.exec("later/squatter", "ss", "-ltn"))

        done = mesh.run("apply", "--timeout", "3", "-f", "-", given=LATER % "ambient")

        assert done.returncode == 3, done.stderr
        assert "later/squatter" in done.stderr
        assert "later/fine" not in done.stderr
        logs = mesh.must("logs", "agent@node-2")
        assert "cannot listen on port 15008 in the pod: Address already in use" in logs
        assert talk.asks("meanwhile") == "MEANWHILE"
        with mesh.program(
            "shop/front", sys.executable, "-c", LINES, "fine.later", PORT, "silent"
        ) as other:
            assert other.hear() == "open"
            assert other.asks("fine") == "FINE"
    wait_until("the pod to be enrolled when the port is free", lambda: enrolled(mesh, "squatter"))


def enrolled(mesh: Lab, name: str) -> bool:
    pod = json.loads(mesh.must("get", "pod", f"later/{name}", "-o", "json"))
    annotations = pod["metadata"].get("annotations", {})
    return bool(annotations.get("ambient.istio.io/redirection") == "enabled")


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("garbage", "tls_handshake_failed"),
        ("http1", "tls_handshake_failed"),
        ("half", "tls_handshake_failed"),
        ("without ALPN", "tls_no"),
    ],
)
def test_a_peer_that_is_no_proxy_is_closed_with_one_line(
    mesh: Lab, talk: Program, what: str, code: str
) -> None:
    host = address_of(mesh, "shop/lines")
    before = len(refusals(mesh, code))

    answer = mesh.exec("external", sys.executable, "-c", NONSENSE, host, what)

    assert b"HTTP" not in answer.encode()
    wait_until("the line in the log", lambda: len(refusals(mesh, code)) == before + 1, 12)
    assert talk.asks("meanwhile") == "MEANWHILE"


def address_of(mesh: Lab, pod: str) -> str:
    status = json.loads(mesh.must("get", "pod", pod, "-o", "json"))["status"]
    return str(status["podIP"])


def refusals(mesh: Lab, code: str) -> list[str]:
    logs = mesh.must("logs", "ztunnel@node-2")
    return [line for line in logs.splitlines() if f'code="{code}' in line]


def test_descriptors_that_run_out_stop_new_connections_and_end_none(
    mesh: Lab, talk: Program
) -> None:
    worker = child_of(mesh.component("ztunnel@node-1"), "ztunnel.worker")
    curl = ("curl", "-sS", "--max-time", "15", "http://stock.shop/")
    with few_descriptors(worker), mesh.program("shop/front", *curl) as waits:
        wait_until(
            "the pause in the log",
            lambda: 'code="descriptors_exhausted"' in mesh.must("logs", "ztunnel@node-1"),
        )
        assert talk.asks("meanwhile") == "MEANWHILE"
        assert waits.process.poll() is None
        grant(worker, 1024)
        assert "{" in waits.hear()
        assert waits.process.wait(10) == 0


@contextmanager
def few_descriptors(pid: int) -> Iterator[None]:
    """A process that can open nothing more."""
    before, _ = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}  # noqa: PTH208 - numbers
    grant(pid, next(number for number in count() if number not in used))
    try:
        yield
    finally:
        grant(pid, before)


def grant(pid: int, descriptors: int) -> None:
    _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (descriptors, most))


@pytest.mark.parametrize(
    "words",
    [
        ("lab", "up", "--name", "bad"),
        ("lab", "status", "--name", "bad"),
        ("lab", "exec", "--name", "bad", "node-1", "--", "true"),
        ("lab", "down", "--name", "bad"),
    ],
    ids=lambda words: str(words[1]),
)
def test_without_root_every_command_says_what_it_needs(mesh: Lab, words: tuple[str, ...]) -> None:
    del mesh
    command = [*NOBODY, sys.executable, "-m", "sluice", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "run it as root" in done.stderr


def test_without_root_the_demo_says_what_it_needs() -> None:
    done = subprocess.run(
        [*NOBODY, ROOT / "scripts" / "demo"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr == "the demo makes network namespaces: run it as root\n"
