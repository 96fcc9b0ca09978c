"""The whole control plane: real manifests, real gRPC over TLS, real pages."""

import datetime as dt
import json
import logging
from pathlib import Path

import pytest
import trio
from cryptography import x509

from controlplane.tokens import Subject
from mesh.proto.certificate_pb2 import IstioCertificateRequest
from mesh.proto.discovery_pb2 import DeltaDiscoveryResponse
from mesh.runtime.grpc_bridge.client import GrpcFailedError
from mesh.wire.discovery_catalogue import ADDRESS_TYPE, AUTHORIZATION_TYPE
from tests.controlplane.running import (
    PATIENCE_S,
    PROXIES,
    SIGN,
    Control,
    control,
    pod,
    running,
    until,
)

CATALOGUE = "spiffe://cluster.local/ns/shelf/sa/catalogue"
WEB = pod("shelf", "web", ip="10.10.0.1")
UID = "Kubernetes//Pod/shelf/web"
POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: shelf}
spec: {rules: [{from: [{source: {namespaces: [till]}}]}]}
"""


def names(response: DeltaDiscoveryResponse) -> list[str]:
    return sorted(resource.name for resource in response.resources)


async def client_of(plane: Control, node: str = "a") -> dict[str, object]:
    clients = (await plane.syncz())["clients"]
    assert isinstance(clients, list)
    found = [each for each in clients if isinstance(each, dict) and each["node"] == node]
    assert len(found) == 1
    return dict(found[0])


async def wait_acked(plane: Control, generation: int) -> None:
    async def is_acked() -> bool:
        return (await client_of(plane))["acked_generation"] == generation

    await until(is_acked)


async def test_a_change_of_the_folder_is_pushed_as_a_delta_and_its_acknowledgement_shown(
    tmp_path: Path,
) -> None:
    async with control(tmp_path) as plane:
        await plane.wait_taken(plane.write("shop", WEB))
        async with plane.discovery() as talk:
            addresses, policies = await talk.both()
            assert UID in names(addresses)
            assert names(policies) == []
            await wait_acked(plane, plane.generation)
            other = plane.write("more", pod("shelf", "api", ip="10.10.0.2"))
            response = await talk.next()
            assert (names(response), list(response.removed_resources)) == (
                ["Kubernetes//Pod/shelf/api"], [],
            )  # fmt: skip
            await wait_acked(plane, other)
            plane.remove("more")
            response = await talk.next()
            assert list(response.removed_resources) == ["Kubernetes//Pod/shelf/api"]
            plane.write_text("policy", POLICY)
            response = await talk.next()
            assert (response.type_url, names(response)) == (AUTHORIZATION_TYPE, ["shelf/p"])
            # Nothing that concerns the client: acknowledged without being sent anything.
            await wait_acked(
                plane,
                plane.write(
                    "cm", {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "x"}}
                ),
            )
            client = await client_of(plane)
            assert client["connected"] is True
            assert client["rejected"] == ""
            assert str(client["address"]).startswith("127.0.0.1:")


async def test_who_comes_back_after_a_restart_is_sent_only_what_has_changed(tmp_path: Path) -> None:
    plane = Control(tmp_path)
    plane.write("proxies", *PROXIES)
    plane.write("shop", WEB, pod("shelf", "api", ip="10.10.0.2"))
    async with running(plane):
        roots = plane.roots
        async with plane.discovery() as talk:
            addresses, _ = await talk.both()
    versions = {resource.name: resource.version for resource in addresses.resources}
    plane.write("shop", WEB, pod("shelf", "new", ip="10.10.0.3"))
    async with running(plane):
        assert plane.roots == roots
        async with plane.discovery() as talk:
            talk.ask(versions=versions)
            response = await talk.next()
    assert names(response) == ["Kubernetes//Pod/shelf/new"]
    assert list(response.removed_resources) == ["Kubernetes//Pod/shelf/api"]


async def test_a_rejection_is_shown_and_not_followed_by_the_same_again(tmp_path: Path) -> None:
    async with control(tmp_path) as plane, plane.discovery() as talk:
        await talk.both()
        await wait_acked(plane, plane.generation)
        before = plane.generation
        plane.write("shop", WEB)
        await talk.next(f"{UID}: not understood")

        async def is_rejected() -> bool:
            return bool((await client_of(plane))["rejected"])

        await until(is_rejected)
        client = await client_of(plane)
        assert client["rejected"] == f"{UID}: not understood"
        assert client["acked_generation"] == before
        plane.write("more", pod("shelf", "api", ip="10.10.0.2"))
        assert names(await talk.next()) == ["Kubernetes//Pod/shelf/api"]
        plane.write("shop", pod("shelf", "web", ip="10.10.0.9"))
        assert names(await talk.next()) == [UID]
        await wait_acked(plane, plane.generation)
        assert (await client_of(plane))["rejected"] == ""


async def test_bad_manifests_leave_what_was_good_in_force_and_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with control(tmp_path) as plane, plane.discovery() as talk:
        plane.write("shop", WEB)
        await plane.wait_taken(plane.generation)
        with caplog.at_level(logging.INFO):
            await talk.both()
            generation = plane.write_text("shop", "kind: [Pod\n")
            await plane.wait_taken(generation)
            bad = {**WEB, "spec": {"serviceAccountName": 7, "nodeName": "a"}}
            generation = plane.write("more", {**bad, "metadata": {"name": "bad", "namespace": "x"}})
            await plane.wait_taken(generation)
            await plane.wait_taken(plane.touch())
        problems = (await plane.syncz())["problems"]
        assert isinstance(problems, list)
        assert len(problems) == 2
        assert any("shop.yaml" in str(problem) for problem in problems)
        assert any("Pod x/bad: spec.serviceAccountName" in str(problem) for problem in problems)
        told = [r for r in caplog.records if getattr(r, "code", "") == "manifest_invalid"]
        assert len(told) == 2, "each problem once"
        _, page = await plane.page("/debug/problems")
        assert json.loads(page) == problems
        _, resources = await plane.page("/debug/configz")
        assert UID in json.loads(resources)["resources"][ADDRESS_TYPE]


async def test_the_node_proxy_gets_certificates_for_the_pods_of_its_node(tmp_path: Path) -> None:
    async with control(tmp_path) as plane:
        await plane.wait_taken(
            plane.write(
                "shop",
                pod("shelf", "catalogue", account="catalogue"),
                pod("shelf", "index", account="index", node="b"),
                pod("shelf", "done", account="done", phase="Succeeded"),
            )
        )
        leaf, root = await plane.certificate(CATALOGUE)
        assert root.encode() == plane.roots
        certificate = x509.load_pem_x509_certificate(leaf.encode())
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(plane.roots))
        for account in ("index", "done", "ghost"):
            with pytest.raises(GrpcFailedError, match="impersonation authentication failure"):
                await plane.certificate(f"spiffe://cluster.local/ns/shelf/sa/{account}")
        leaf, _ = await plane.certificate()
        alone = x509.load_pem_x509_certificate(leaf.encode())
        san = alone.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert san.get_values_for_type(x509.UniformResourceIdentifier) == [
            "spiffe://cluster.local/ns/istio-system/sa/ztunnel"
        ]
        assert alone.not_valid_after_utc < dt.datetime.now(dt.UTC) + dt.timedelta(
            hours=1, minutes=1
        )
        with pytest.raises(GrpcFailedError, match="INVALID_ARGUMENT"):
            await plane.certificate(CATALOGUE, csr=b"not a request")
        with pytest.raises(GrpcFailedError, match="UNAUTHENTICATED"):
            await plane.certificate(CATALOGUE, token="e30.e30.e30")
        with pytest.raises(GrpcFailedError, match="UNAUTHENTICATED"):
            await plane.certificate(CATALOGUE, cluster="Elsewhere")
        _, page = await plane.page("/metrics")
        assert "citadel_server_success_cert_issuance_count_total 2.0" in page
        assert 'sluice_control_refused_total{code="impersonation_elsewhere"} 3.0' in page


async def test_certificates_are_signed_while_all_places_for_streams_are_taken(
    tmp_path: Path,
) -> None:
    async with control(tmp_path, "--max-streams", "2") as plane:
        await plane.wait_taken(plane.write("shop", pod("shelf", "c", account="catalogue")))
        async with plane.discovery() as one, plane.discovery(node="b") as two:
            await one.both()
            await two.both()
            for _ in range(5):
                async with plane.discovery() as third:
                    third.ask()
                    with pytest.raises(GrpcFailedError, match="RESOURCE_EXHAUSTED"):
                        await third.next()
                assert len(await plane.certificate(CATALOGUE)) == 2
            plane.write("shop", WEB)
            assert UID in names(await one.next())
            assert UID in names(await two.next())


@pytest.mark.parametrize(
    ("token", "node_id"),
    [
        ("shelf/web", ""),
        ("istio-system/ztunnel", "ztunnel~192.0.2.9~web.shelf~shelf.svc.cluster.local"),
    ],
    ids=["an account that is no node proxy's", "a node id of another namespace"],
)
async def test_strangers_may_not_read_the_mesh(tmp_path: Path, token: str, node_id: str) -> None:
    namespace, account = token.split("/")
    async with control(tmp_path) as plane:
        said = plane.token(Subject(namespace=namespace, service_account=account))
        async with plane.discovery(said, node_id) as talk:
            talk.ask()
            with pytest.raises(GrpcFailedError, match="UNAUTHENTICATED"):
                await talk.next()


async def test_a_client_whose_pod_has_gone_is_sent_away_and_forgotten(tmp_path: Path) -> None:
    async with control(tmp_path) as plane, plane.discovery() as talk:
        await talk.both()
        plane.write("proxies", pod("istio-system", "ztunnel-b", account="ztunnel", node="b"))
        with pytest.raises(GrpcFailedError, match="UNAUTHENTICATED"):
            await talk.next()
        await plane.wait_taken(plane.touch())
        assert (await plane.syncz())["clients"] == []


async def test_a_client_that_left_is_shown_as_disconnected(tmp_path: Path) -> None:
    async with control(tmp_path) as plane:
        async with plane.discovery() as talk:
            await talk.both()

        async def has_left() -> bool:
            return not (await client_of(plane))["connected"]

        await until(has_left)
        async with plane.discovery() as talk:
            await talk.both()
            assert (await client_of(plane))["connected"] is True


async def test_a_request_of_an_unknown_type_ends_its_stream_with_the_reason(
    tmp_path: Path,
) -> None:
    async with control(tmp_path) as plane, plane.discovery() as talk:
        talk.ask("type.googleapis.com/envoy.config.cluster.v3.Cluster")
        with pytest.raises(GrpcFailedError, match=r"INVALID_ARGUMENT.*unknown type"):
            await talk.next()


@pytest.mark.parametrize(
    "name",
    ["istiod.istio-system.svc", "sluice-control.istio-system.svc", "localhost", "127.0.0.1", "::1"],
)
async def test_the_server_is_known_by_all_its_names(tmp_path: Path, name: str) -> None:
    async with control(tmp_path) as plane:
        with (
            plane.client(name) as client,
            trio.fail_after(PATIENCE_S),
            pytest.raises(GrpcFailedError, match="UNAUTHENTICATED"),
        ):
            await client.unary(SIGN, IstioCertificateRequest())


async def test_debug_pages_answer_loopback_and_metrics_answer_everybody(tmp_path: Path) -> None:
    async with control(tmp_path) as plane:
        for path, status in (
            ("/debug", 200), ("/ready", 200), ("/metrics", 200), ("/nothing", 404),
        ):  # fmt: skip
            assert (await plane.page(path))[0] == status
