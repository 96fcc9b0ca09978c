"""The pages of a node proxy: a whole one, in dedicated mode, without a control plane."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.observe.metrics import SINGLE
from tests.pki import Authority
from tests.shared_data import shared
from tests.ztunnel import loopback
from tests.ztunnel.control import metrics_page
from tests.ztunnel.control.world import identity
from tests.ztunnel.proxy import Proxy

pytestmark = [pytest.mark.netns, pytest.mark.slow]

WORLD = """
workloads:
- {uid: Kubernetes//Pod/shop/web, name: web, namespace: shop, serviceAccount: web,
   workloadIps: [127.0.0.1], protocol: HBONE, node: node-a,
   services: {shop/web.shop.svc.cluster.local: {80: 8080}}}
services:
- {name: web, namespace: shop, hostname: web.shop.svc.cluster.local, vips: [/10.1.1.1],
   ports: {80: 8080}}
policies:
- {name: deny, namespace: shop, scope: Namespace, action: Deny, dryRun: false,
   rules: [[[{notPrincipals: [{Presence: []}]}]]]}
"""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("dedicated")
    issued = Authority().issue(identity("web"))
    files = {"CERT_FILE": issued.chain, "KEY_FILE": issued.key, "ROOT_FILE": issued.roots}
    for name, pem in files.items():
        (folder / name).write_bytes(pem)
    (folder / "world.yaml").write_text(WORLD)
    loopback.up(Path("/proc/self/ns/net"))
    environ = {
        "PROXY_MODE": "dedicated",
        "PROXY_WORKLOAD_INFO": "shop/web/web",
        "NODE_NAME": "node-a",
        "LOCAL_XDS_PATH": str(folder / "world.yaml"),
        "FAKE_CA": "true",
        **{name: str(folder / name) for name in files},
    }
    with Proxy(environ) as running:
        running.wait_ready()
        running.wait_line("certificate\tidentity")
        yield running


def dump(proxy: Proxy) -> dict[str, object]:
    status, body = proxy.page("admin", "/config_dump")
    assert status == 200
    shown: dict[str, object] = json.loads(body)
    return shown


def test_without_a_control_plane_it_is_ready_and_serves_its_own_namespace(proxy: Proxy) -> None:
    assert proxy.page("readiness", "/healthz/ready") == (200, "ready\n")
    (worker,) = json.loads(proxy.page("admin", "/debug/workers")[1])
    assert worker["pods"] == {"shop/web": "listening"}
    assert worker["upToDate"]


def test_the_dump_has_the_sections_and_names_that_other_tools_read(proxy: Proxy) -> None:
    shown = dump(proxy)
    assert shown.keys() >= {
        "certificates", "config", "policies", "services", "stagedServices", "staticConfig",
        "version", "workloadState", "workloads",
    }  # fmt: skip
    (workload,) = shown["workloads"]  # type: ignore[misc]
    assert workload["workloadIps"] == ["127.0.0.1"]
    assert (workload["protocol"], workload["status"]) == ("HBONE", "Healthy")
    (service,) = shown["services"]  # type: ignore[misc]
    assert service["vips"] == ["/10.1.1.1"]
    assert service["endpoints"] == {
        "Kubernetes//Pod/shop/web": {
            "workloadUid": "Kubernetes//Pod/shop/web",
            "port": {"80": 8080},
            "status": "Healthy",
        }
    }
    (policy,) = shown["policies"]  # type: ignore[misc]
    assert policy["rules"] == [[[{"notPrincipals": [{"Presence": []}]}]]]


def test_the_dump_shows_certificates_but_no_keys(proxy: Proxy) -> None:
    shown = dump(proxy)
    (certificate,) = shown["certificates"]  # type: ignore[misc]
    assert certificate["identity"] == "spiffe://cluster.local/ns/shop/sa/web"
    assert certificate["state"] == "Available"
    (leaf,) = certificate["certChain"]
    assert leaf.keys() == {"pem", "serialNumber", "validFrom", "expirationTime"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", leaf["expirationTime"])
    assert "PRIVATE" not in json.dumps(shown)
    assert "UFJJVkFURS" not in json.dumps(shown)  # the same in base64


def test_the_dump_shows_the_pods_and_the_settings(proxy: Proxy) -> None:
    shown = dump(proxy)
    state = shown["workloadState"]["shop/web"]  # type: ignore[index]
    assert state["state"] == "Up"
    assert state["info"] == {"name": "web", "namespace": "shop", "serviceAccount": "web"}
    assert state["connections"] == {"inbound": [], "outbound": []}
    config = shown["config"]
    assert isinstance(config, dict)
    assert config["proxyMode"] == "Dedicated"
    assert config["poolUnusedReleaseTimeout"] == {"secs": 300, "nanos": 0}


def test_a_setting_without_effect_is_said(proxy: Proxy) -> None:
    proxy.wait_line("FAKE_CA has no effect")


def test_metrics_are_given_as_text_and_as_openmetrics(proxy: Proxy) -> None:
    status, text = proxy.page("stats", "/metrics")
    assert status == 200
    assert 'istio_build{component="ztunnel",tag=' in text
    assert re.search(r"^process_open_fds \d", text, re.MULTILINE)
    assert re.search(r"^workload_manager_active_proxy_count 1", text, re.MULTILINE)
    assert "sluice_certificate_expiry_timestamp_seconds{" in text
    accepts = {"Accept": "application/openmetrics-text"}
    status, text = proxy.page("stats", "/stats/prometheus", headers=accepts)
    assert status == 200
    assert text.endswith("# EOF\n")


def told(text: str) -> dict[str, tuple[str, bool]]:
    """Kind, and whether it is unstable, of each family of a metrics text."""
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    words = dict(re.findall(r"^# HELP (\w+) (.*)$", text, re.MULTILINE))
    return {
        name.removesuffix("_total"): (kind, "unstable" in words[name])
        for name, kind in kinds.items()
    }


def test_the_metrics_are_those_of_their_page_no_more_and_no_fewer(proxy: Proxy) -> None:
    assert told(proxy.page("stats", "/metrics")[1]) == metrics_page.families()


def test_every_metric_of_istios_is_here_or_said_not_to_be() -> None:
    recorded = told(shared("ztunnel/metrics-source.txt").read_text())
    here = metrics_page.families()
    assert recorded.keys() - here.keys() <= metrics_page.absent()
    assert not metrics_page.absent() & here.keys()
    for name in recorded.keys() & here.keys():
        assert recorded[name] == here[name], name


def test_labels_of_the_page_are_those_of_the_code() -> None:
    for name, (_, labels) in SINGLE.items():
        assert metrics_page.labels(name) == {one for one in labels if "source_" not in one}


def test_metrics_are_compressed_for_who_asks(proxy: Proxy) -> None:
    octets = proxy.octets("stats", "/metrics", {"Accept-Encoding": "gzip"})
    assert told(gzip.decompress(octets).decode()) == metrics_page.families()


def test_log_levels_change_while_it_runs(proxy: Proxy) -> None:
    status, words = proxy.page("admin", "/logging?level=debug,access=warn", "POST")
    assert (status, words) == (200, "current log level is debug,access=warn\n")
    status, words = proxy.page("admin", "/logging?level=loud", "POST")
    assert status == 400
    assert "loud" in words
    assert proxy.page("admin", "/logging?reset", "POST")[0] == 200
    assert proxy.page("admin", "/logging", "POST")[0] == 400


def test_a_profile_has_stacks_of_control_and_of_each_worker(proxy: Proxy) -> None:
    status, body = proxy.page("admin", "/debug/pprof/profile?seconds=1&frequency=200")
    assert status == 200
    lines = [line.rpartition(" ") for line in body.splitlines()]
    assert all(stack and weight.isdecimal() for stack, _, weight in lines)
    assert {stack.partition(";")[0] for stack, _, _ in lines} == {
        "control",
        f"worker {proxy.pid_of('worker-0')}",
    }


@pytest.mark.parametrize("query", ["seconds=0", "seconds=301", "frequency=1001", "seconds=x"])
def test_a_profile_has_limits(proxy: Proxy, query: str) -> None:
    assert proxy.page("admin", f"/debug/pprof/profile?{query}")[0] == 400


def test_heap_profiles_are_said_not_to_be_here(proxy: Proxy) -> None:
    for path in ("/debug/pprof/heap", "/heap/profiling?activate=true"):
        assert proxy.page("admin", path) == (
            501,
            "heap profiles are not built in: Python's allocator does not sample\n",
        )


@pytest.mark.parametrize(
    ("port", "path", "method", "status"),
    [
        ("admin", "/", "GET", 200),
        ("admin", "/nothing", "GET", 404),
        ("admin", "/nothing", "POST", 404),
        ("admin", "/logging", "GET", 405),
        ("admin", "/quitquitquit", "GET", 405),
        ("stats", "/", "GET", 404),
        ("readiness", "/healthz/ready", "POST", 404),
        ("readiness", "/", "GET", 404),
    ],
)
def test_other_paths_and_methods_are_refused(
    proxy: Proxy, port: str, path: str, method: str, status: int
) -> None:
    assert proxy.page(port, path, method)[0] == status
