"""What happens to live connections while things change around them."""

import json
import os
import signal
import sys
from collections.abc import Iterator

import pytest

from tests.e2e.mesh import LINES, Lab, Program, child_of, lab, wait_until
from tests.e2e.worlds import NOBODY, SHOP, STRICT, lines_pod

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(120)]
PORT = "9000"


LATER = """
apiVersion: v1
kind: Namespace
metadata: {name: later, labels: {istio.io/dataplane-mode: %s}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: stock, namespace: later}
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The shop with a server of lines, and a namespace that is not enrolled yet."""
    manifest = tmp_path_factory.mktemp("changes") / "shop.yaml"
    manifest.write_text(
        "---".join(
            [
                SHOP,
                lines_pod("lines", "shop", PORT),
                LATER % "none",
                lines_pod("late", "later", PORT),
            ]
        )
    )
    with lab("changes", manifest) as made:
        yield made


@pytest.fixture
def talk(mesh: Lab) -> Iterator[Program]:
    """An open connection from shop/front to shop/lines."""
    with mesh.program(
        "shop/front", sys.executable, "-c", LINES, "lines.shop", PORT, "silent"
    ) as program:
        assert program.hear() == "open"
        assert program.asks("before") == "BEFORE"
        yield program


def test_killing_control_touches_no_connection(mesh: Lab, talk: Program) -> None:
    control = child_of(mesh.component("ztunnel@node-1"), "ztunnel.control")

    os.kill(control, signal.SIGKILL)

    assert talk.asks("meanwhile") == "MEANWHILE"
    wait_until(
        "another control process",
        lambda: child_of(mesh.component("ztunnel@node-1"), "ztunnel.control") not in {0, control},
    )
    assert talk.asks("afterwards") == "AFTERWARDS"
    assert mesh.curl("shop/front", "http://stock.shop/")["namespace"] == "shop"


def test_a_killed_worker_is_back_and_serves(mesh: Lab) -> None:
    worker = child_of(mesh.component("ztunnel@node-1"), "ztunnel.worker")

    os.kill(worker, signal.SIGKILL)

    def served() -> bool:
        done = mesh.run(
            "exec", "shop/front", "--", "curl", "-sf", "--max-time", "1", "http://stock.shop/"
        )
        return done.returncode == 0

    wait_until("the worker to be back", served, 5)


def test_the_control_plane_may_be_away(mesh: Lab, talk: Program) -> None:
    control = mesh.component("control")

    os.kill(control, signal.SIGKILL)

    assert talk.asks("meanwhile") == "MEANWHILE"
    assert mesh.curl("shop/front", "http://stock.shop/")["namespace"] == "shop"
    wait_until("another control plane", lambda: mesh.component("control") not in {0, control})
    assert talk.asks("afterwards") == "AFTERWARDS"


def test_a_killed_agent_touches_no_connection(mesh: Lab, talk: Program) -> None:
    agent = mesh.component("agent@node-1")

    os.kill(agent, signal.SIGKILL)

    assert talk.asks("meanwhile") == "MEANWHILE"
    wait_until("another agent", lambda: mesh.component("agent@node-1") not in {0, agent})
    assert talk.asks("afterwards") == "AFTERWARDS"
    assert mesh.curl("shop/front", "http://stock.shop/")["namespace"] == "shop"


def test_a_policy_that_begins_to_apply_ends_what_it_forbids(mesh: Lab, talk: Program) -> None:
    mesh.apply(NOBODY)
    try:
        assert talk.asks("still there?") == "closed" or talk.process.wait(5) != 0
        assert mesh.curl("shop/front", "http://stock.shop/")["namespace"] == "shop"
    finally:
        mesh.must("delete", "AuthorizationPolicy", "shop/nobody")


def test_a_label_enrols_running_pods_without_cutting_connections(mesh: Lab) -> None:
    with mesh.program(
        "yard/outside", sys.executable, "-c", LINES, "late.later", PORT, "silent"
    ) as program:
        assert program.hear() == "open"
        assert program.asks("plain") == "PLAIN"
        mesh.apply(LATER % "ambient")
        pod = json.loads(mesh.must("get", "pod", "later/late", "-o", "json"))
        assert pod["metadata"]["annotations"]["ambient.istio.io/redirection"] == "enabled"

        assert program.asks("enrolled") == "ENROLLED"

        with mesh.program(
            "shop/front", sys.executable, "-c", LINES, "late.later", PORT, "silent"
        ) as tunnelled:
            assert tunnelled.hear() == "open"
            assert tunnelled.asks("tunnelled") == "TUNNELLED"
            mesh.apply(LATER % "none")
            pod = json.loads(mesh.must("get", "pod", "later/late", "-o", "json"))
            assert "ambient.istio.io/redirection" not in pod["metadata"].get("annotations", {})

            assert program.asks("free") == "FREE"
            assert tunnelled.asks("free, too") == "FREE, TOO"


def test_strict_ends_the_plain_connections_that_live(mesh: Lab) -> None:
    with mesh.program(
        "yard/outside", sys.executable, "-c", LINES, "lines.shop", PORT, "silent"
    ) as program:
        assert program.hear() == "open"
        assert program.asks("plain") == "PLAIN"
        mesh.apply(STRICT)
        try:
            assert program.asks("still there?") == "closed" or program.process.wait(5) != 0
        finally:
            mesh.must("delete", "PeerAuthentication", "shop/default")


def test_a_pod_without_its_agent_waits(mesh: Lab) -> None:
    agent = mesh.component("agent@node-2")
    os.kill(agent, signal.SIGSTOP)
    try:
        late = lines_pod("waits", "shop", PORT)
        done = mesh.run("apply", "--timeout", "3", "-f", "-", given=late)
        assert done.returncode == 3, done.stderr
        assert "shop/waits" in done.stderr
    finally:
        os.kill(agent, signal.SIGCONT)

    def runs() -> bool:
        pod = json.loads(mesh.must("get", "pod", "shop/waits", "-o", "json"))
        return (
            pod["metadata"].get("annotations", {}).get("ambient.istio.io/redirection") == "enabled"
        )

    wait_until("the pod to be enrolled", runs, 30)
