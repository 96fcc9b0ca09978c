"""A waypoint under changes: a client asks without pause, and no request of its fails."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml

from sluice.lab.client import ask
from sluice.lab.home import Home
from sluice.lab.protocol import Request
from tests.e2e.mesh import Json, Lab, Program, lab, wait_until
from tests.repo.tree import ROOT

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(120)]

CLIENT = "mill/client"
ROUTES = 50
MOST_AWAY_S = 6.0
"""A process starts, gets its certificate and its state: 1 to 2 s on a machine that has nothing else
to do."""
SCALES = (3, 1, 4, 2)
Report = dict[str, dict[str, Json]]


def deployment(replicas: int) -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: flour, namespace: mill}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: flour}}}}
  template:
    metadata: {{labels: {{app: flour}}}}
    spec:
      containers:
      - name: app
        image: sluice/echo
        readinessProbe: {{httpGet: {{path: /health, port: 3000}}, periodSeconds: 1}}
"""


WORLD = f"""
apiVersion: v1
kind: Namespace
metadata:
  name: mill
  labels: {{istio.io/dataplane-mode: ambient, istio.io/use-waypoint: waypoint}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: waypoint, namespace: mill}}
spec:
  gatewayClassName: sluice-waypoint
  listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: client, namespace: mill}}
spec:
  nodeName: node-1
  containers: [{{name: app, image: none, command: [sleep, infinity]}}]
---
{deployment(2)}
---
apiVersion: v1
kind: Service
metadata: {{name: flour, namespace: mill}}
spec:
  selector: {{app: flour}}
  ports: [{{name: http, port: 80, targetPort: 3000}}]
---
apiVersion: v1
kind: Service
metadata: {{name: spare, namespace: mill}}
spec:
  selector: {{app: flour}}
  ports: [{{name: http, port: 80, targetPort: 3000}}]
"""


def route(version: int, **more: dict[str, int]) -> str:
    """One backend of two, and an answer that says the version; `more` is for the rule."""
    stamp = {"set": [{"name": "x-version", "value": str(version)}]}
    backend = {"name": ("flour", "spare")[version % 2], "port": 80}
    made = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "flour", "namespace": "mill"},
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": "flour", "port": 80}],
            "rules": [
                {
                    "filters": [
                        {"type": "ResponseHeaderModifier", "responseHeaderModifier": stamp}
                    ],
                    "backendRefs": [backend],
                    **more,
                }
            ],
        },
    }
    return yaml.safe_dump(made)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    manifest = tmp_path_factory.mktemp("changes") / "mill.yaml"
    manifest.write_text(WORLD)
    with lab("waypoint-changes", manifest) as made:
        wait_until("an answer", lambda: answered(made))
        yield made


def answered(mesh: Lab, url: str = "http://flour.mill/") -> bool:
    words = ("exec", CLIENT, "--", "curl", "-sf", "-m2", url)
    return mesh.run(*words).returncode == 0


@contextmanager
def steady(mesh: Lab) -> Iterator[Program]:
    """A client that asks without pause."""
    words = ("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.e2e.peers.steady")
    with mesh.program(CLIENT, *words, "flour.mill") as program:
        wait_until("the client to be answered", lambda: count(report(program)) > 0)
        yield program


def report(program: Program) -> Report:
    found: Report = json.loads(program.asks("report"))
    return found


def count(said: Report) -> int:
    return sum(int(str(each["answers"])) for each in said.values())


def failures(said: Report) -> list[Json]:
    return [each["failures"] for each in said.values() if each["failures"]]


def test_routes_change_fifty_times(mesh: Lab) -> None:
    with steady(mesh) as program:
        for version in range(ROUTES):  # as the command does, without a process for each
            request = Request(order="apply", texts=(("route", route(version)),), seconds=10)
            assert ask(Home.of(mesh.name), request).exit_code == 0
        said = report(program)
    assert failures(said) == []
    for each in said.values():
        versions = each["versions"]
        assert isinstance(versions, list)
        numbers = [int(str(one)) for one in versions]
        assert numbers == sorted(numbers)  # what was in force stays in force
        assert numbers[-1] == ROUTES - 1
        assert len(numbers) > ROUTES // 2
    mesh.must("delete", "HTTPRoute", "mill/flour")


def test_endpoints_come_and_go(mesh: Lab) -> None:
    # An application that ends in the middle of a request resets it: only who may ask twice is sure
    # of an answer, and only the route's author knows who may.
    mesh.apply(route(0, retry={"attempts": 3}))
    with steady(mesh) as program:
        for replicas in SCALES:
            mesh.apply(deployment(replicas))
        said = report(program)
    assert failures(said) == []
    fresh = said["fresh"]["pods"]
    assert isinstance(fresh, dict)
    assert len(fresh) > 3
    mesh.must("delete", "HTTPRoute", "mill/flour")


def test_the_control_plane_is_killed_and_comes_back(mesh: Lab) -> None:
    control = mesh.component("control")
    with steady(mesh) as program:
        os.kill(control, signal.SIGKILL)
        wait_until("another control plane", lambda: mesh.component("control") not in {0, control})
        mesh.apply(route(7))
        wait_until("its route", lambda: "7" in str(report(program)["fresh"]["versions"]))
        said = report(program)
    assert failures(said) == []
    mesh.must("delete", "HTTPRoute", "mill/flour")


def test_a_waypoint_that_is_deleted_answers_what_it_has_and_the_next_goes_on(mesh: Lab) -> None:
    """Between its end and the next one's begin, connections are refused: nothing goes past it."""
    old = waypoint_pod(mesh)
    with steady(mesh) as program:
        mesh.must("delete", "pod", f"mill/{old}")
        wait_until("the next waypoint", lambda: waypoint_pod(mesh) != old and answered(mesh), 20)
        said = report(program)
        again = {"answers": 0}

        def goes_on() -> bool:
            now = report(program)
            again["answers"] += count(now)
            assert failures(now) == []
            return again["answers"] > 100

        wait_until("more answers", goes_on)
    for each in said.values():
        assert set(each["statuses"]) == {"200"}  # no request was answered with an error
        failed = each["failures"]
        assert isinstance(failed, list)
        times = [float(str(one).split()[0]) for one in failed]
        assert times[-1] - times[0] < MOST_AWAY_S
        assert not [one for one in failed if "Incomplete" in str(one)]


def waypoint_pod(mesh: Lab) -> str:
    pods = json.loads(mesh.must("get", "pods", "-o", "json"))["items"]
    names = [str(one["metadata"]["name"]) for one in pods]
    (found,) = (name for name in names if name.startswith("waypoint-"))
    return found


# Routes that are wrong: what their status says, and what the waypoint answers.

SPARE: list[Json] = [{"name": "spare", "port": 80}]
PATTERN: Json = [{"path": {"type": "RegularExpression", "value": "/[a"}}]
REDIRECT: Json = {"type": "RequestRedirect", "requestRedirect": {"statusCode": 301}}
REWRITE: Json = {"type": "URLRewrite", "urlRewrite": {"hostname": "x.example"}}


def extension(group: str, kind: str) -> Json:
    return {
        "type": "ExtensionRef",
        "extensionRef": {"group": group, "kind": kind, "name": "is-not-there"},
    }


BAD: dict[str, tuple[list[Json], str, str, int]] = {
    "a pattern that is none": (
        [{"matches": PATTERN, "backendRefs": SPARE}],
        "Accepted",
        "UnsupportedValue",
        200,
    ),
    "a pattern that is none, beside a good rule": (
        [{"matches": PATTERN, "backendRefs": SPARE}, {"backendRefs": SPARE}],
        "PartiallyInvalid",
        "UnsupportedValue",
        200,
    ),
    "a filter that is not there": (
        [{"filters": [extension("sluice.dev", "Filter")], "backendRefs": SPARE}],
        "ResolvedRefs",
        "",
        500,
    ),
    "a filter of a kind that is not there": (
        [{"filters": [extension("other.example", "Thing")], "backendRefs": SPARE}],
        "ResolvedRefs",
        "",
        500,
    ),
    "filters that cannot be together": (
        [{"filters": [REDIRECT, REWRITE], "backendRefs": SPARE}],
        "Accepted",
        "IncompatibleFilters",
        200,
    ),
    "a backend that is not there": (
        [{"backendRefs": [{"name": "is-not-there", "port": 80}]}],
        "ResolvedRefs",
        "BackendNotFound",
        500,
    ),
    "a backend without that port": (
        [{"backendRefs": [{"name": "spare", "port": 81}]}],
        "ResolvedRefs",
        "BackendNotFound",
        500,
    ),
    "a rule without backend": ([{"backendRefs": []}], "Accepted", "Accepted", 500),
}


def wrong(rules: list[Json], kind: str = "HTTPRoute", name: str = "bad") -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "mill"},
            "spec": {
                "parentRefs": [{"group": "", "kind": "Service", "name": "spare", "port": 80}],
                "rules": rules,
            },
        }
    )


def conditions(mesh: Lab, kind: str, name: str = "bad") -> dict[str, tuple[str, str]]:
    """Status and reason by type."""
    found = json.loads(mesh.must("get", kind, f"mill/{name}", "-o", "json"))
    (parent,) = found["status"]["parents"]
    return {one["type"]: (one["status"], one["reason"]) for one in parent["conditions"]}


def statuses(mesh: Lab, *urls: str) -> list[int]:
    """Of the answers."""
    outputs = [word for _ in urls for word in ("-o", "/dev/null")]
    words = ("curl", "-sS", "-m5", *outputs, "-w", "%{http_code} ", *urls)
    return [int(word) for word in mesh.exec(CLIENT, *words).split()]


@pytest.mark.parametrize("what", BAD)
def test_a_route_that_is_wrong_says_so_and_hurts_no_other(mesh: Lab, what: str) -> None:
    rules, kind, reason, answer = BAD[what]
    mesh.apply(wrong(rules))  # each replaces the one before
    said = conditions(mesh, "HTTPRoute")
    assert said[kind][0] == str(kind in {"PartiallyInvalid", reason})
    assert reason in said[kind][1]
    assert statuses(mesh, "http://spare.mill/bad", "http://flour.mill/") == [answer, 200]


def test_of_two_kinds_at_one_port_one_is_in_force(mesh: Lab) -> None:
    mesh.apply(wrong([{"backendRefs": SPARE}]))
    mesh.apply(wrong([{"backendRefs": SPARE}], "TCPRoute", "other"))
    assert conditions(mesh, "HTTPRoute")["Accepted"][0] == "True"
    assert conditions(mesh, "TCPRoute", "other")["Accepted"] == ("False", "Conflicted")
    assert statuses(mesh, "http://spare.mill/") == [200]
