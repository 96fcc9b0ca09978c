"""Names as programs in a lab's pods resolve them: by the DNS proxy, and by the cluster's DNS."""

import sys
from collections.abc import Iterator

import pytest

from tests.e2e.mesh import Lab, lab

pytestmark = [pytest.mark.netns, pytest.mark.slow]

WORLD = """
apiVersion: v1
kind: Namespace
metadata: {name: names, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Pod
metadata: {name: asker, namespace: names}
spec:
  containers: [{name: app, image: none, command: [sleep, infinity]}]
---
apiVersion: v1
kind: Pod
metadata:
  name: apart
  namespace: names
  annotations: {ambient.istio.io/dns-capture: "false"}
spec:
  containers: [{name: app, image: none, command: [sleep, infinity]}]
---
apiVersion: v1
kind: Pod
metadata: {name: db-0, namespace: names, labels: {app: db}}
spec:
  hostname: db-0
  subdomain: db
  containers: [{name: app, image: sluice/echo}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: names}
spec:
  clusterIP: None
  selector: {app: db}
  ports: [{name: http, port: 3000}]
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: names}
spec:
  clusterIP: 10.96.200.1
  selector: {app: db}
  ports: [{name: http, port: 80, targetPort: 3000}]
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: names}
spec: {type: ExternalName, externalName: front.names.svc.cluster.local}
"""

PYTHON = """
import socket, sys
try:
    found = {each[4][0] for each in socket.getaddrinfo(sys.argv[1], 80, socket.AF_INET)}
    print(" ".join(sorted(found)))
except socket.gaierror as error:
    print(error.errno == socket.EAI_NONAME)
"""
QUERY = """
import sys, dns.message, dns.query
query = dns.message.make_query(sys.argv[1], sys.argv[2])
answer = getattr(dns.query, sys.argv[3])(query, "10.96.0.10", timeout=5)
print(bool(answer.flags & 1024 and answer.answer and answer.answer[0].ttl == 30))
print(answer.to_text())
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    manifest = tmp_path_factory.mktemp("dns") / "names.yaml"
    manifest.write_text(WORLD)
    with lab("dnsnames", manifest, nodes=1) as made:
        yield made


def looked_up(mesh: Lab, pod: str, name: str) -> str:
    return mesh.exec(f"names/{pod}", "python3", "-c", PYTHON, name).strip()


@pytest.mark.parametrize("pod", ["asker", "apart"])
@pytest.mark.parametrize("name", ["front", "front.names", "front.names.svc.cluster.local"])
def test_a_service_has_its_address_by_every_name(mesh: Lab, pod: str, name: str) -> None:
    assert looked_up(mesh, pod, name) == "10.96.200.1"


def test_headless_services_their_pods_and_aliases_have_theirs(mesh: Lab) -> None:
    address = mesh.exec("names/db-0", "hostname", "-I").split()[0]
    assert looked_up(mesh, "asker", "db") == address
    assert looked_up(mesh, "asker", "db-0.db") == address
    assert looked_up(mesh, "asker", "elsewhere") == "10.96.200.1"


def test_a_name_that_nobody_has_does_not_exist(mesh: Lab) -> None:
    assert looked_up(mesh, "asker", "nobody.names.svc.cluster.local") == "True"


@pytest.mark.parametrize("way", ["udp", "tcp"])
def test_who_answers_is_seen_by_the_answer(mesh: Lab, way: str) -> None:
    def asked(pod: str, name: str, kind: str) -> str:
        return mesh.exec(f"names/{pod}", sys.executable, "-c", QUERY, name, kind, way)

    name = "front.names.svc.cluster.local."
    assert asked("asker", name, "A").startswith("True\n")
    assert asked("apart", name, "A").startswith("False\n")
    ports = asked("asker", f"_http._tcp.{name}", "SRV")
    assert "SRV 0 100 80 front.names.svc.cluster.local." in ports


def test_the_proxy_counts_the_queries(mesh: Lab) -> None:
    looked_up(mesh, "asker", "front")
    page = mesh.exec("node-1", "curl", "-sS", "http://127.0.0.1:15020/metrics")
    assert 'istio_dns_requests_total{request_protocol="udp",request_query_type="A"' in page
    assert "istio_dns_upstream_request_duration_seconds_bucket" in page
