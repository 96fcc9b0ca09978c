"""Unmodified programs in pods: bulk, and protocols in which the server speaks first."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.mesh import LINES, Lab, lab, wait_until
from tests.e2e.worlds import SHOP, STRICT

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(120)]

SERVERS = """
apiVersion: v1
kind: Pod
metadata: {name: cache, namespace: shop, labels: {app: cache}}
spec:
  serviceAccountName: stock
  nodeName: node-2
  containers:
  - {name: app, image: none, command: [redis-server, --save, "", --protected-mode, "no"]}
---
apiVersion: v1
kind: Service
metadata: {name: cache, namespace: shop}
spec: {selector: {app: cache}, ports: [{name: redis, port: 6379}]}
---
apiVersion: v1
kind: Pod
metadata: {name: meter, namespace: shop, labels: {app: meter}}
spec:
  serviceAccountName: stock
  nodeName: node-2
  containers: [{name: app, image: none, command: [iperf3, -s]}]
---
apiVersion: v1
kind: Service
metadata: {name: meter, namespace: shop}
spec: {selector: {app: meter}, ports: [{name: tcp, port: 5201}]}
---
apiVersion: v1
kind: Pod
metadata: {name: greeter, namespace: shop, labels: {app: greeter}}
spec:
  serviceAccountName: stock
  nodeName: node-2
  containers: [{name: app, image: sluice/echo, env: [{name: TCP_ECHO_SERVER, value: "1"}]}]
---
apiVersion: v1
kind: Service
metadata: {name: greeter, namespace: shop}
spec: {selector: {app: greeter}, ports: [{name: tcp, port: 3000}]}
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The shop with servers of other people."""
    manifest = tmp_path_factory.mktemp("programs") / "shop.yaml"
    manifest.write_text(f"{SHOP}---{SERVERS}---{STRICT}")
    with lab("programs", manifest) as made:
        yield made


def test_redis_answers(mesh: Lab) -> None:
    def ask(*words: str) -> str:
        return mesh.exec("shop/front", "redis-cli", "-h", "cache.shop", *words).strip()

    wait_until("redis", lambda: ask("ping") == "PONG", 10)
    assert ask("set", "colour", "green") == "OK"
    assert ask("get", "colour") == "green"


def test_a_server_that_speaks_first_is_heard(mesh: Lab) -> None:
    with mesh.program("shop/front", "python3", "-c", LINES, "greeter.shop", "3000", "greeted") as p:
        assert "TCP" in p.hear()
        assert p.asks("PING") == "PONG"


def test_bulk_goes_both_ways(mesh: Lab) -> None:
    for way in ((), ("--reverse",)):
        told = json.loads(
            mesh.exec("shop/front", "iperf3", "-c", "meter.shop", "-n", "200M", "-J", *way)
        )
        # What is still in the proxies' windows when iperf3 has sent all is never read by it.
        assert told["end"]["sum_sent"]["bytes"] >= 200_000_000
        assert told["end"]["sum_received"]["bytes"] >= 150_000_000
