"""What is published: each resource encoded once, a bug survived, and what others may see of it."""

import json
import logging
from pathlib import Path

import pytest
import trio

from controlplane import discovery
from controlplane.admission import Admission
from controlplane.app import Source
from controlplane.discovery import Discovery
from controlplane.metrics import Metrics
from controlplane.options import parse
from controlplane.pages import Pages
from controlplane.pods import Pods
from controlplane.publish import Publication, Publisher
from controlplane.translate.settings import Settings
from controlplane.translate.world import Translator
from mesh.model.address import parse_ip
from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.runtime.grpc_bridge.client import GrpcFailedError
from mesh.runtime.http_server import Request
from mesh.runtime.manifests import Snapshot
from mesh.wire.discovery_catalogue import ADDRESS_TYPE, Published, Resource
from tests.controlplane.running import control, pod, until


def snapshot(generation: int, *manifests: dict[str, Json]) -> Snapshot:
    objects = [KubernetesObject.of(manifest, "test") for manifest in manifests]
    return Snapshot(generation, {each.key: each for each in objects})


def addresses(publication: Publication) -> dict[str, Resource]:
    return dict(publication.published.catalogues[ADDRESS_TYPE].resources)


def test_what_did_not_change_is_the_same_resource() -> None:
    publisher = Publisher(Settings())
    first = publisher.update(
        snapshot(1, pod("a", "x", ip="10.0.0.1"), pod("a", "y", ip="10.0.0.2"))
    )
    second = publisher.update(
        snapshot(2, pod("a", "x", ip="10.0.0.1"), pod("a", "y", ip="10.0.0.3"))
    )
    name = "Kubernetes//Pod/a/{}"
    assert addresses(second)[name.format("x")] is addresses(first)[name.format("x")]
    assert addresses(second)[name.format("y")] is not addresses(first)[name.format("y")]
    assert addresses(second)[name.format("y")].aliases == ("/10.0.0.3",)
    assert second.published.generation == 2


def test_what_changes_nothing_for_proxies_gives_the_same_catalogues() -> None:
    publisher = Publisher(Settings())
    first = publisher.update(snapshot(1, pod("a", "x", ip="10.0.0.1")))
    config: dict[str, Json] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    second = publisher.update(snapshot(2, pod("a", "x", ip="10.0.0.1"), config))
    for type_url, catalogue in second.published.catalogues.items():
        assert catalogue is first.published.catalogues[type_url]


def test_a_bug_of_the_translation_leaves_what_is_in_force_and_is_got_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publisher = Publisher(Settings())
    first = publisher.update(snapshot(1, pod("a", "x", ip="10.0.0.1")))

    def broken(_: Translator, __: dict[ObjectKey, KubernetesObject]) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(Translator, "update", broken)
        with pytest.raises(ZeroDivisionError):
            publisher.update(snapshot(2, pod("a", "z", ip="10.0.0.2")))
    third = publisher.update(snapshot(3, pod("a", "y", ip="10.0.0.3")))
    assert set(addresses(third)) == {"Kubernetes//Pod/a/y"}
    old = first.published.catalogues[ADDRESS_TYPE]
    owed = third.published.catalogues[ADDRESS_TYPE].since(old)
    assert owed.removed == ("Kubernetes//Pod/a/x",)


async def test_a_bug_of_the_translation_does_not_end_the_control_plane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with control(tmp_path) as plane:
        with monkeypatch.context() as patched:
            patched.setattr(Publisher, "update", lambda *_: 1 / 0)
            plane.write("x", pod("a", "x", ip="10.0.0.1"))

            async def is_told() -> bool:
                return bool((await plane.syncz())["problems"])

            await until(is_told)
        await plane.wait_taken(plane.touch())
        assert (await plane.syncz())["problems"] == []
    assert any(getattr(r, "code", "") == "translation_failed" for r in caplog.records)


def pages() -> Pages:
    admission = Admission(
        token_key=None,
        trust_domain="t",
        cluster_id="c",
        trusted=frozenset(),  # type: ignore[arg-type]
    )
    discovery = Discovery(admission, Pods, Published(), Metrics())
    return Pages(discovery, Publication, Metrics())


@pytest.mark.parametrize("path", ["/debug", "/debug/syncz", "/debug/configz", "/debug/problems"])
async def test_debug_pages_are_for_loopback_only(path: str) -> None:
    for peer, status in (("127.0.0.1", 200), ("::1", 200), ("192.0.2.1", 403), ("fd00::1", 403)):
        request = Request(method="GET", path=path, peer=parse_ip(peer))
        assert (await pages().answer(request)).status == status


@pytest.mark.parametrize("path", ["/metrics", "/ready"])
async def test_metrics_and_readiness_are_for_everybody(path: str) -> None:
    request = Request(method="GET", path=path, peer=parse_ip("192.0.2.1"))
    assert (await pages().answer(request)).status == 200


async def test_the_page_of_an_empty_mesh_has_the_shape_of_any() -> None:
    request = Request(method="GET", path="/debug/syncz", peer=parse_ip("127.0.0.1"))
    body = (await pages().answer(request)).body
    assert json.loads(body) == {"generation": 0, "problems": [], "clients": []}


def test_many_problems_are_counted_rather_than_all_written(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    options = parse(["--manifests", str(tmp_path), "--state", "s"])
    source = Source(options, Metrics())  # type: ignore[arg-type]  # serving options
    with caplog.at_level(logging.WARNING):
        source._take(Publication(problems=tuple(f"problem {n}" for n in range(80))))
        source._take(Publication(problems=tuple(f"problem {n}" for n in range(81))))
    messages = [record.message for record in caplog.records]
    assert (messages.count("bad manifest"), messages.count("more bad manifests")) == (51, 1)


async def test_a_client_that_says_nothing_is_sent_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "FIRST_REQUEST_S", 0.05)
    async with control(tmp_path) as plane, plane.discovery() as talk:
        with trio.fail_after(5), pytest.raises(GrpcFailedError, match="none within"):
            await talk.next()
