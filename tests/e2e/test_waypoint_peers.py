"""Clients and servers that share no code with us, with a waypoint between them: one lab for all."""

import hashlib
import json
import sys
from collections.abc import Iterator

import pytest
import yaml

from tests.e2e.mesh import Json, Lab, LabFailedError, lab, wait_until
from tests.e2e.peers.pattern import pattern
from tests.repo.tree import ROOT

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(120)]

CLIENT = "guild/client"
LARGE = 50_000_000
WEB = "http://web.guild"


def python(program: str, *words: str) -> list[str]:
    """A program of the peers'."""
    module = f"tests.e2e.peers.{program}"
    return ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", module, *words]


def pod(name: str, node: int, **container: Json) -> dict[str, Json]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "guild", "labels": {"app": name}},
        "spec": {
            "nodeName": f"node-{node}",
            "containers": [{"name": "app", "image": "none", **container}],
        },
    }


def service(name: str, *ports: tuple[int, int, str]) -> dict[str, Json]:
    """Ports as (port, target, what it speaks)."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "guild"},
        "spec": {
            "selector": {"app": name},
            "ports": [
                {"name": f"p{port}", "port": port, "targetPort": target, "appProtocol": speaks}
                for port, target, speaks in ports
            ],
        },
    }


def route(kind: str, name: str, port: int, *backends: Json, **spec: Json) -> dict[str, Json]:
    """A route of a service with one rule."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "guild"},
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": name, "port": port}],
            "rules": [{"backendRefs": list(backends)}],
            **spec,
        },
    }


def redis(name: str) -> list[dict[str, Json]]:
    command = ["redis-server", "--port", "6379", "--bind", "*", "--protected-mode", "no"]
    command += ["--save", "", "--dir", "/tmp"]
    return [pod(name, 2, command=command), service(name, (6379, 6379, "tcp"))]


NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {
        "name": "guild",
        "labels": {"istio.io/dataplane-mode": "ambient", "istio.io/use-waypoint": "waypoint"},
    },
}
GATEWAY = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "Gateway",
    "metadata": {"name": "waypoint", "namespace": "guild"},
    "spec": {
        "gatewayClassName": "sluice-waypoint",
        "listeners": [{"name": "mesh", "port": 15008, "protocol": "HBONE"}],
    },
}
WORLD = [
    NAMESPACE,
    GATEWAY,
    pod("client", 1, command=["sleep", "infinity"]),
    pod("web", 2, command=python("http_server", "8080")),
    service("web", (80, 8080, "http")),
    pod("echo", 2, image="sluice/echo-advanced", args=["--port=8080", "--tls=8443", "--port=8443"]),
    service(
        "echo",
        (80, 8080, "http"),
        (81, 8080, "kubernetes.io/h2c"),
        (82, 8080, "kubernetes.io/ws"),
        (443, 8443, "tls"),
        (7070, 7070, "grpc"),
    ),
    pod("calls", 2, command=python("calls_server", "9000")),
    service("calls", (9000, 9000, "grpc")),
    pod("envoy", 2, command=python("envoy_pod", "8080", "web.guild.svc.cluster.local", "80")),
    service("envoy", (80, 8080, "http"), (81, 8080, "kubernetes.io/h2c")),
    *redis("redis-a"),
    *redis("redis-b"),
    service("redis", (6379, 6379, "tcp")),
    route("GRPCRoute", "calls", 9000, {"name": "calls", "port": 9000}),
    route("GRPCRoute", "echo", 7070, {"name": "echo", "port": 7070}),
    route(
        "TCPRoute",
        "redis",
        6379,
        {"name": "redis-a", "port": 6379, "weight": 3},
        {"name": "redis-b", "port": 6379, "weight": 1},
    ),
    route("TLSRoute", "echo", 443, {"name": "echo", "port": 443}, hostnames=["secret.example"])
    | {"metadata": {"name": "secret", "namespace": "guild"}},
]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    manifest = tmp_path_factory.mktemp("peers") / "guild.yaml"
    manifest.write_text(yaml.safe_dump_all(WORLD))
    with lab("waypoint-peers", manifest) as made:
        for url in (f"{WEB}/1", "http://envoy.guild/direct", "http://echo.guild/"):
            wait_until(url, lambda url=url: succeeds(made, "curl", "-sSf", url))
        yield made


def succeeds(mesh: Lab, *command: str) -> bool:
    return mesh.run("exec", CLIENT, "--", *command).returncode == 0


def runs(mesh: Lab, *command: str) -> str:
    """What a program in the client's pod says."""
    return mesh.exec(CLIENT, *command, seconds=40)


def says(mesh: Lab, program: str, *words: str) -> Json:
    """What a program of the peers' has seen."""
    found: Json = json.loads(runs(mesh, *python(program, *words)))
    return found


def carried(mesh: Lab) -> str:
    """The waypoint's log."""
    pods = json.loads(mesh.must("get", "pods", "-o", "json"))["items"]
    (name,) = (
        one["metadata"]["name"] for one in pods if one["metadata"]["name"].startswith("waypoint-")
    )
    return mesh.must("logs", f"guild/{name}")


def sha(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


# HTTP/1.1 and HTTP/2.


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
@pytest.mark.parametrize("url", [WEB, "http://envoy.guild", "http://envoy.guild:81"])
def test_curl_gets_and_sends_content_in_either_version(mesh: Lab, version: str, url: str) -> None:
    curl = ("curl", "-sS", version)
    assert runs(mesh, *curl, f"{url}/0") == ""
    assert runs(mesh, *curl, "-o", "/dev/null", "-w", "%{size_download}", f"{url}/70001") == "70001"
    said = json.loads(runs(mesh, *curl, "-d", "hello", url))
    assert (said["sum"], said["size"]) == (sha(b"hello"), 5)


def test_curl_uses_a_connection_again(mesh: Lab) -> None:
    said = runs(mesh, "curl", "-sS", "-w", " %{num_connects}\n", *[f"{WEB}/0"] * 5)
    assert said.split() == ["1", "0", "0", "0", "0"]


def test_a_head_has_the_length_of_what_does_not_come(mesh: Lab) -> None:
    for version in ("--http1.1", "--http2-prior-knowledge"):
        said = runs(mesh, "curl", "-sSI", version, f"{WEB}/12345").lower()
        assert "content-length: 12345\n" in said


def test_a_large_upload_waits_for_its_100_and_arrives(mesh: Lab) -> None:
    upload = "head -c 50000000 /dev/zero | curl -sSv --data-binary @- " + f"{WEB}/"
    said = runs(mesh, "sh", "-c", f"{upload} 2>&1")
    assert "HTTP/1.1 100 Continue" in said
    assert sha(bytes(LARGE)) in said


def test_a_large_upload_by_http_2_arrives(mesh: Lab) -> None:
    upload = "head -c 50000000 /dev/zero | curl -sS --http2-prior-knowledge -T - -X POST "
    said = json.loads(runs(mesh, "sh", "-c", f"{upload} {WEB}/"))
    assert (said["sum"], said["chunked"]) == (sha(bytes(LARGE)), True)


@pytest.mark.parametrize("url", [f"{WEB}/{LARGE}", f"http://envoy.guild:81/{LARGE}"])
def test_a_large_download_arrives_as_it_was(mesh: Lab, url: str) -> None:
    for version in ("--http1.1", "--http2-prior-knowledge"):
        said = runs(mesh, "sh", "-c", f"curl -sS {version} {url} | sha256sum")
        assert said.split()[0] == sha(pattern(LARGE))


def test_chunks_and_trailers_pass_both_ways(mesh: Lab) -> None:
    said = says(mesh, "http_client", "trailers", "web.guild", "80")
    assert isinstance(said, dict)
    assert (said["sum"], said["chunked"]) == (sha(b"hello!"), True)
    assert said["trailers"] == {"x-end": "there"}
    came = runs(mesh, "nghttp", "-nv", f"{WEB}/chunked/100")
    assert f"x-sum: {sha(pattern(100))}" in came
    with_trailers = (
        "nghttp",
        "--no-content-length",
        "--trailer=x-end: yes",
        "--data=/etc/hostname",
    )
    second = json.loads(runs(mesh, *with_trailers, f"{WEB}/"))
    assert second["trailers"] == {"x-end": "yes"}


def test_pipelined_requests_are_answered_in_order(mesh: Lab) -> None:
    said = says(mesh, "http_client", "pipeline", "web.guild", "80")
    assert said == {"right": [True] * 6, "left": 0}


def test_a_client_that_has_closed_its_half_is_answered(mesh: Lab) -> None:
    assert says(mesh, "http_client", "half", "web.guild", "80") == {"right": True}


def test_requests_keeps_its_session(mesh: Lab) -> None:
    said = says(mesh, "http_client", "keep", WEB)
    assert isinstance(said, dict)
    assert said["sizes"] == [0, 1, 100_000, 7]
    assert isinstance(said["posted"], dict)
    assert said["posted"]["sum"] == sha(b"a" * 1000 + b"b" * 70_000)
    assert len(by_request(mesh, "python-requests")) >= 5


def by_request(mesh: Lab, agent: str) -> list[str]:
    """The lines of an agent's requests."""
    return [line for line in carried(mesh).splitlines() if f'user_agent="{agent}' in line]


def test_h2load_gets_every_answer(mesh: Lab) -> None:
    for more in (("--h1", "-c32"), ("-c4", "-m20")):
        said = runs(mesh, "h2load", "-n1000", *more, "http://echo.guild/load")
        assert "1000 succeeded, 0 failed, 0 errored" in said


# WebSocket.


@pytest.mark.parametrize("url", ["ws://echo.guild/ws", "ws://echo.guild:82/ws"])
def test_websockets_pass_both_ways(mesh: Lab, url: str) -> None:
    said = says(mesh, "http_client", "websocket", url)
    assert said == {"came": [True] * 4, "ponged": True, "code": 1000}


# gRPC.


def called(mesh: Lab, which: str, *words: str, at: str = "calls.guild:9000") -> Json:
    return says(mesh, "calls_client", at, which, *words)


def test_a_unary_call_has_its_metadata_and_trailers(mesh: Lab) -> None:
    said = called(mesh, "unary")
    assert isinstance(said, dict)
    assert said["answer"] == "hello"
    assert isinstance(said["initial"], dict)
    assert said["initial"]["x-initial"] == "yes"
    assert said["initial"]["x-octets-bin"] == str(b"\0\xff")
    assert said["trailing"] == {"x-trailer": "canary"}


def test_streams_of_messages_pass(mesh: Lab) -> None:
    assert called(mesh, "one_many") == {"messages": 2000, "octets": 2_006_890}
    assert called(mesh, "many_one") == 5_000_000
    assert called(mesh, "many_many") == {"came": [f"M{n}" for n in range(50)], "rest": 0}


def test_a_call_that_is_left_in_the_middle_hurts_no_other(mesh: Lab) -> None:
    said = called(mesh, "cancel")
    assert isinstance(said, dict)
    assert said["answer"] == "hello"


def test_errors_pass_with_their_words_and_trailers(mesh: Lab) -> None:
    said = called(mesh, "fails", "fail")
    assert isinstance(said, dict)
    assert (said["code"], said["details"]) == ("FAILED_PRECONDITION", "as asked: 50% é")
    assert said["trailing"] == {"x-trailer": "canary"}
    nobody = called(mesh, "fails", "x", "10", "NoSuch")
    assert isinstance(nobody, dict)
    assert nobody["code"] == "UNIMPLEMENTED"


def test_a_deadline_reaches_the_server_and_ends_the_call(mesh: Lab) -> None:
    assert called(mesh, "deadline") in {3, 4}
    said = called(mesh, "fails", "wait", "0.5")
    assert isinstance(said, dict)
    assert said["code"] == "DEADLINE_EXCEEDED"
    assert isinstance(said["took"], float)
    assert said["took"] < 1.5


def test_istios_echo_answers_calls(mesh: Lab) -> None:
    said = called(mesh, "echo", at="echo.guild:7070")
    assert isinstance(said, str)
    assert '"pod": "echo"' in said


# Envoy.


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
@pytest.mark.parametrize("port", [80, 81])
def test_envoy_answers_behind_the_waypoint(mesh: Lab, version: str, port: int) -> None:
    url = f"http://envoy.guild:{port}/direct"
    said = runs(mesh, "curl", "-sSi", version, url)
    assert said.splitlines()[0].split()[1] == "201"
    assert said.endswith("direct")
    assert "server: envoy" in said


@pytest.mark.parametrize("way", ["", "/h2"])
def test_envoy_asks_through_the_waypoint_in_either_version(mesh: Lab, way: str) -> None:
    """A client of the mesh asks Envoy, which asks on: the waypoint sees both requests."""
    url = f"http://envoy.guild{way}/{LARGE}"
    said = runs(mesh, "sh", "-c", f"curl -sS {url} | sha256sum")
    assert said.split()[0] == sha(pattern(LARGE))
    protocol = "HTTP/2" if way else "HTTP/1.1"
    lines = [
        line
        for line in carried(mesh).splitlines()
        if f'path="/{LARGE}"' in line and 'src.workload="envoy"' in line
    ]
    assert any(f'protocol="{protocol}"' in line for line in lines)


# What is not HTTP.


def test_redis_is_split_by_its_route(mesh: Lab) -> None:
    for name in ("redis-a", "redis-b"):
        assert runs(mesh, "redis-cli", "-h", f"{name}.guild", "set", "who", name).strip() == "OK"
    script = "for i in $(seq 60); do redis-cli -h redis.guild get who; done"
    came = runs(mesh, "sh", "-c", script).split()
    assert len(came) == 60
    assert 30 <= came.count("redis-a") <= 57
    assert came.count("redis-a") + came.count("redis-b") == 60


def test_redis_pipelines_on_many_connections(mesh: Lab) -> None:
    said = runs(
        mesh,
        *("redis-benchmark", "-h", "redis.guild", "-q", "--csv"),
        *("-n", "5000", "-c", "20", "-P", "8", "-t", "set,get", "-d", "1000"),
    )
    assert '"GET"' in said


def test_a_tls_route_goes_by_the_server_name(mesh: Lab) -> None:
    address = json.loads(mesh.must("get", "service", "guild/echo", "-o", "json"))
    ip = address["spec"]["clusterIP"]

    def secure(name: str) -> list[str]:
        return ["curl", "-sSk", "--resolve", f"{name}:443:{ip}", f"https://{name}/in"]

    said = json.loads(runs(mesh, *secure("secret.example")))
    assert said["tls"]["serverName"] == "secret.example"
    assert said["tls"]["negotiatedProtocol"] == "h2"
    with pytest.raises(LabFailedError):
        runs(mesh, *secure("other.example"))
