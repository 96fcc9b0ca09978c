"""Policies of a waypoint, from a manifest to who gets through: one lab for all of them."""

import json
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.mesh import LINES, Json, Lab, lab, wait_until

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(180)]

KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = json.dumps({"keys": [{**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key()))}]})
GUARD = """
import http.server, os

class Guard(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        is_in = self.headers["x-let-me"] == "in" or self.path == "/keys"
        content = os.environ["KEYS"].encode() if self.path == "/keys" else b"not you"
        self.send_response(200 if is_in else 401)
        self.send_header("x-user", "ann")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

http.server.ThreadingHTTPServer(("", 8000), Guard).serve_forever()
"""
MESH_CONFIG = """
extensionProviders:
- name: guard
  envoyExtAuthzHttp:
    service: guard.shop.svc.cluster.local
    port: 80
    timeout: 2s
    pathPrefix: /check
    includeRequestHeadersInCheck: [x-let-me]
    headersToUpstreamOnAllow: [x-user]
"""


def pod(name: str, image: str, **fields: Json) -> str:
    """A pod of an account of its own name."""
    container = {"name": "app", "image": image, **fields}
    labels = {"app": name}
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    return yaml.safe_dump_all(
        [
            {**account, "metadata": {"name": name, "namespace": "shop"}},
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": "shop", "labels": labels},
                "spec": {"serviceAccountName": name, "containers": [container]},
            },
        ]
    )


def service(name: str, target: int, port_name: str = "http") -> str:
    ports = [{"name": port_name, "port": 80, "targetPort": target}]
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"selector": {"app": name}, "ports": ports},
        }
    )


SHOP = "\n---\n".join(
    (
        """
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: way}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: shop}
spec: {gatewayClassName: sluice-waypoint, listeners: [{name: m, port: 15008, protocol: HBONE}]}
""",
        pod("web", "sluice/echo"),
        pod("friend", "sluice/echo"),
        pod("stranger", "sluice/echo"),
        pod("talk", "sluice/echo", env=[{"name": "TCP_ECHO_SERVER", "value": "1"}]),
        pod(
            "guard",
            "none",
            command=["python3", "-c", GUARD],
            env=[{"name": "KEYS", "value": KEYS}],
            ports=[{"containerPort": 8000}],
        ),
        service("web", 3000),
        service("guard", 8000),
        service("talk", 3000, "tcp"),
    )
)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder: Path = tmp_path_factory.mktemp("request-policy")
    manifest, config = folder / "shop.yaml", folder / "mesh.yaml"
    manifest.write_text(SHOP)
    config.write_text(MESH_CONFIG)
    with lab("e2e-request-policy", manifest, nodes=1, mesh_config=config) as made:
        yield made


class Policies:
    """Policies that are there for one test."""

    def __init__(self, mesh: Lab) -> None:
        self.mesh = mesh
        self.made: list[str] = []

    def put(self, spec: Json, kind: str = "AuthorizationPolicy", service: str = "web") -> None:
        """A policy for a service."""
        name = f"p{len(self.made)}"
        self.made.append(f"{kind} shop/{name}")
        targets: Json = [{"kind": "Service", "name": service}]
        assert isinstance(spec, dict)
        self.mesh.apply(
            yaml.safe_dump(
                {
                    "apiVersion": "security.istio.io/v1",
                    "kind": kind,
                    "metadata": {"name": name, "namespace": "shop"},
                    "spec": {"targetRefs": targets, **spec},
                }
            )
        )

    def remove(self) -> None:
        """All of them."""
        for each in self.made:
            self.mesh.must("delete", *each.split(" "))


@pytest.fixture
def policies(mesh: Lab) -> Iterator[Policies]:
    made = Policies(mesh)
    yield made
    made.remove()


def ask(mesh: Lab, client: str, path: str = "/", *more: str) -> tuple[int, str]:
    """Status and content of an answer."""
    said = mesh.exec(
        f"shop/{client}",
        *("curl", "-sS", "--max-time", "5", "--path-as-is", "-w", "\n%{http_code}"),
        *(*more, f"http://web.shop{path}"),
    )
    content, _, status = said.rpartition("\n")
    return int(status), content


def will_be(mesh: Lab, expected: int, client: str, path: str = "/", *more: str) -> None:
    """Wait until an answer has this status."""
    wait_until(f"{path} is {expected}", lambda: ask(mesh, client, path, *more)[0] == expected)


def condition(mesh: Lab, name: str, kind: str = "AuthorizationPolicy") -> tuple[str, str]:
    found = json.loads(mesh.must("get", kind, f"shop/{name}", "-o", "json"))
    [only] = found["status"]["conditions"]
    assert only["type"] == "WaypointAccepted"
    return only["status"], only["reason"]


def test_only_one_account_may_get(mesh: Lab, policies: Policies) -> None:
    will_be(mesh, 200, "stranger")
    friend = "cluster.local/ns/shop/sa/friend"
    rule: Json = {
        "from": [{"source": {"principals": [friend]}}],
        "to": [{"operation": {"methods": ["GET"]}}],
    }
    policies.put({"action": "ALLOW", "rules": [rule]})
    will_be(mesh, 403, "stranger")
    assert ask(mesh, "stranger") == (403, "RBAC: access denied")
    assert ask(mesh, "friend")[0] == 200
    assert ask(mesh, "friend", "/", "-X", "POST")[0] == 403
    assert condition(mesh, "p0") == ("True", "Accepted")


def test_no_spelling_goes_round_a_denied_path(mesh: Lab, policies: Policies) -> None:
    paths: Json = [{"operation": {"paths": ["/admin", "/admin/*"]}}]
    policies.put({"action": "DENY", "rules": [{"to": paths}]})
    will_be(mesh, 403, "friend", "/admin")
    tricks = (
        "//admin",
        "/%61dmin",
        "/admin;x",
        "/a/../admin",
        "/a/..;/admin",
        "/a/..%2fadmin",
        "/%2fadmin",
        "/./admin/",
        "/admin%2fx",
        "/admin?x",
    )
    assert {path: ask(mesh, "friend", path)[0] for path in tricks} == dict.fromkeys(tricks, 403)
    assert ask(mesh, "friend", "/administer")[0] == 200


def test_a_token_is_wanted_and_its_keys_are_fetched(mesh: Lab, policies: Policies) -> None:
    uri = "http://guard.shop.svc.cluster.local/keys"
    rules: Json = [{"issuer": "me", "jwksUri": uri, "outputPayloadToHeader": "x-claims"}]
    policies.put({"jwtRules": rules}, "RequestAuthentication")
    source: Json = [{"source": {"requestPrincipals": ["me/*"]}}]
    policies.put({"action": "ALLOW", "rules": [{"from": source}]})
    will_be(mesh, 403, "friend")
    good = jwt.encode({"iss": "me", "sub": "ann"}, KEY, "ES256")
    bad = jwt.encode({"iss": "me", "sub": "ann"}, ec.generate_private_key(ec.SECP256R1()), "ES256")
    will_be(mesh, 200, "friend", "/", "-H", f"authorization: Bearer {good}")
    status, content = ask(mesh, "friend", "/", "-H", f"authorization: Bearer {good}")
    headers = {name.lower() for name in json.loads(content)["headers"]}
    assert status == 200
    assert "x-claims" in headers
    assert "authorization" not in headers
    assert ask(mesh, "friend", "/", "-H", f"authorization: Bearer {bad}")[0] == 401
    assert condition(mesh, "p0", "RequestAuthentication") == ("True", "Accepted")


def test_somebody_else_is_asked_and_without_a_word_nobody_passes(
    mesh: Lab, policies: Policies
) -> None:
    paths: Json = [{"operation": {"paths": ["/guarded*"]}}]
    policies.put({"action": "CUSTOM", "provider": {"name": "guard"}, "rules": [{"to": paths}]})
    will_be(mesh, 401, "friend", "/guarded")
    assert ask(mesh, "friend", "/guarded") == (401, "not you")
    assert ask(mesh, "friend", "/open")[0] == 200
    status, content = ask(mesh, "friend", "/guarded", "-H", "x-let-me: in")
    assert status == 200
    headers = {name.lower(): value for name, value in json.loads(content)["headers"].items()}
    assert headers["x-user"] in ("ann", ["ann"])


def test_a_policy_that_cannot_be_enforced_closes_and_says_so(mesh: Lab, policies: Policies) -> None:
    policies.put({"action": "CUSTOM", "provider": {"name": "nobody"}, "rules": [{}]})
    will_be(mesh, 403, "friend")
    assert condition(mesh, "p0") == ("False", "Invalid")
    policies.remove()
    policies.made.clear()
    will_be(mesh, 200, "friend")
    odd: Json = [{"to": [{"operation": {"methods": ["TRACE"], "ports": ["http"]}}]}]
    policies.put({"action": "DENY", "rules": odd})
    will_be(mesh, 403, "friend")
    assert condition(mesh, "p0") == ("False", "Invalid")


HELLO = """
import socket, ssl, sys
into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
client = ssl.create_default_context().wrap_bio(into, out, server_hostname=sys.argv[1])
try:
    client.do_handshake()
except ssl.SSLWantReadError:
    pass
with socket.create_connection(("talk.shop", 80), 5) as end:
    end.sendall(out.read())
    try:
        print(end.recv(100))
    except ConnectionResetError:
        print(b"")
"""


def test_a_connection_is_judged_by_its_server_name(mesh: Lab, policies: Policies) -> None:
    def answer(name: str) -> str:
        return mesh.exec("shop/friend", "python3", "-c", HELLO, name).strip()

    secret: Json = [{"key": "connection.sni", "values": ["secret.example"]}]
    policies.put({"action": "DENY", "rules": [{"when": secret}]}, service="talk")
    wait_until("it is refused", lambda: answer("secret.example") == "b''")
    assert "Gateway API" in answer("open.example")
    with mesh.program("shop/friend", "python3", "-c", LINES, "talk.shop", "80", "open") as program:
        program.hear()
        assert program.asks("PING"), "who says nothing of TLS is let in"


def test_an_open_connection_ends_when_a_policy_forbids_it(mesh: Lab, policies: Policies) -> None:
    server = ("talk.shop", "80", "greeted")
    with mesh.program("shop/friend", "python3", "-c", LINES, *server) as program:
        program.hear()
        assert program.asks("PING") == "PONG"
        stranger: Json = [{"source": {"principals": ["cluster.local/ns/shop/sa/stranger"]}}]
        policies.put({"action": "ALLOW", "rules": [{"from": stranger}]}, service="talk")
        wait_until("it is cut", lambda: program.asks("PING") != "PONG")
    with mesh.program("shop/friend", "python3", "-c", LINES, *server) as program:
        assert program.hear() == ""
