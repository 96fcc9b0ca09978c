"""gRPC from trio, against a real server over real TLS."""

from collections.abc import Iterator

import pytest
import trio

from mesh.model.identity import Identity
from mesh.proto.certificate_pb2 import IstioCertificateRequest, IstioCertificateResponse
from mesh.proto.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from mesh.proto.workload_pb2 import Address, Workload
from mesh.runtime.certificates import make_request
from mesh.runtime.grpc_bridge.client import GrpcClient, GrpcFailedError, Method, Target
from mesh.wire.discovery_client import ADDRESS_TYPE, METHOD
from tests.control_plane import CA_METHOD, ControlPlane
from tests.pki import Authority

DISCOVER = Method(
    METHOD, DeltaDiscoveryRequest.SerializeToString, DeltaDiscoveryResponse.FromString
)
SIGN = Method(
    CA_METHOD, IstioCertificateRequest.SerializeToString, IstioCertificateResponse.FromString
)


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    with ControlPlane(Authority()) as running:
        yield running


def client_of(plane: ControlPlane, *, roots: bytes = b"", name: str = "") -> GrpcClient:
    return GrpcClient(Target(f"localhost:{plane.port}", roots or plane.authority.roots, name))


def csr() -> IstioCertificateRequest:
    made = IstioCertificateRequest(
        csr=make_request(Identity("cluster.local", "shop", "web")).request.decode()
    )
    made.metadata.update({"ImpersonatedIdentity": "spiffe://cluster.local/ns/shop/sa/web"})
    return made


async def test_a_unary_call_carries_its_metadata_and_its_answer(plane: ControlPlane) -> None:
    client = client_of(plane)
    answer = await client.unary(SIGN, csr(), [("clusterid", "east")])
    client.close()
    assert len(answer.cert_chain) == 2
    assert plane.signed[0][1]["clusterid"] == "east"


async def test_a_refusal_says_the_status_and_the_servers_words(plane: ControlPlane) -> None:
    plane.refuse_certificates = True
    client = client_of(plane)
    with pytest.raises(GrpcFailedError) as caught:
        await client.unary(SIGN, csr())
    client.close()
    assert caught.value.status == "UNAUTHENTICATED"
    assert "authentication failure" in caught.value.details


async def test_a_server_with_another_chain_or_name_is_not_talked_to(plane: ControlPlane) -> None:
    for client in (client_of(plane, roots=Authority().roots), client_of(plane, name="istiod")):
        with pytest.raises(GrpcFailedError) as caught:
            await client.unary(SIGN, csr())
        client.close()
        assert caught.value.status == "UNAVAILABLE"
    assert plane.signed == []


async def test_another_name_may_be_the_right_one() -> None:
    with ControlPlane(Authority(), server_name="istiod.istio-system.svc") as plane:
        # It listens at localhost under a certificate for another name.
        client = client_of(plane, name="istiod.istio-system.svc")
        assert len((await client.unary(SIGN, csr())).cert_chain) == 2
        client.close()


async def test_a_stream_carries_both_ways_until_its_block_ends(plane: ControlPlane) -> None:
    client = client_of(plane)
    async with client.stream(DISCOVER) as stream:
        stream.send(DeltaDiscoveryRequest(type_url=ADDRESS_TYPE))
        first = await stream.receive()
        assert first is not None
        assert first.type_url == ADDRESS_TYPE
        plane.put(ADDRESS_TYPE, "a", Address(workload=Workload(uid="a")))
        second = await stream.receive()
        assert second is not None
        assert [resource.name for resource in second.resources] == ["a"]
    client.close()


async def test_a_stream_that_waits_can_be_cancelled(plane: ControlPlane) -> None:
    client = client_of(plane)
    async with client.stream(DISCOVER) as stream:
        stream.send(DeltaDiscoveryRequest(type_url=ADDRESS_TYPE))
        assert await stream.receive() is not None
        with trio.move_on_after(0.05) as scope:
            await stream.receive()
        assert scope.cancelled_caught
    client.close()


async def test_a_stream_that_breaks_raises(plane: ControlPlane) -> None:
    client = client_of(plane)
    async with client.stream(DISCOVER) as stream:
        stream.send(DeltaDiscoveryRequest(type_url=ADDRESS_TYPE))
        assert await stream.receive() is not None
        await trio.to_thread.run_sync(plane.stop)
        try:
            assert await stream.receive() is None
        except GrpcFailedError as error:
            assert error.status in ("UNAVAILABLE", "CANCELLED")  # noqa: PT017
    client.close()


async def test_nobody_there_is_a_failure_not_a_wait() -> None:
    client = GrpcClient(Target("localhost:1", Authority().roots))
    with trio.fail_after(5), pytest.raises(GrpcFailedError, match="UNAVAILABLE"):
        await client.unary(SIGN, csr())
    client.close()


async def test_a_request_that_nobody_takes_is_an_error_in_the_end() -> None:
    client = GrpcClient(Target("localhost:1", Authority().roots))
    async with client.stream(DISCOVER) as stream:

        def send_many() -> None:
            for _ in range(100):
                stream.send(DeltaDiscoveryRequest())

        with pytest.raises(GrpcFailedError, match="nothing is taken"):
            send_many()
    client.close()


async def test_a_cancelled_call_waits_for_nobody(plane: ControlPlane) -> None:
    client = client_of(plane)
    with trio.CancelScope() as scope:
        scope.cancel()
        await client.unary(SIGN, csr())
    assert scope.cancelled_caught
    assert len((await client.unary(SIGN, csr())).cert_chain) == 2
    client.close()
