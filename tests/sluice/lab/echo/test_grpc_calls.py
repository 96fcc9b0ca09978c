"""gRPC of the echo server, with grpcio as its client."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from sluice.lab.echo.settings import ADVANCED
from sluice.lab.proto.echo_test_pb2 import EchoRequest as Asked
from sluice.lab.proto.echo_test_pb2 import EchoResponse as Told
from sluice.lab.proto.grpc_echo_pb2 import EchoRequest, EchoResponse
from tests.sluice.lab.echo.servers import free_ports, running

SERVICE = "/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho/"
HOST = "calls.shop"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("certificates")
    made = str(folder / "c"), str(folder / "k")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", made[1], "-out", made[0], "-days", "2", "-subj", "/CN=a",
         "-addext", f"subjectAltName=DNS:{HOST}"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return made


@pytest.fixture(scope="module")
def ports(
    certificate: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, int]]:
    plain, secure = free_ports(2)
    variables = {
        "GRPC_ECHO_SERVER": "1",
        "HTTP_PORT": str(plain),
        "HTTPS_PORT": str(secure),
        "TLS_SERVER_CERT": certificate[0],
        "TLS_SERVER_PRIV_KEY": certificate[1],
    }
    with running(tmp_path_factory.mktemp("grpc") / "log", variables):
        yield plain, secure


@pytest.fixture
def channel(ports: tuple[int, int]) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{ports[0]}") as made:
        yield made


def call(channel: grpc.Channel, method: str, **metadata: str) -> EchoResponse:
    ask = channel.unary_unary(
        SERVICE + method, EchoRequest.SerializeToString, EchoResponse.FromString
    )
    answer: EchoResponse = ask(EchoRequest(), metadata=tuple(metadata.items()), timeout=5)
    return answer


@pytest.mark.parametrize("method", ["Echo", "EchoTwo"])
def test_a_call_is_answered_with_assertions(
    channel: grpc.Channel, ports: tuple[int, int], method: str
) -> None:
    told = call(channel, method, colour="green").assertions

    assert told.fully_qualified_method == SERVICE + method
    assert told.authority == f"127.0.0.1:{ports[0]}"
    headers = {header.key: header.value for header in told.headers}
    assert headers["colour"] == "green"
    assert headers[":authority"] == told.authority
    context = told.context
    assert (context.namespace, context.service_name, context.pod) == ("shop", "web", "web-1")
    assert not told.HasField("tls_assertions")


@pytest.mark.parametrize("method", ["EchoThree", "Other"])
def test_a_method_that_is_not_there_is_unimplemented(channel: grpc.Channel, method: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, method)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_compression_is_unimplemented(channel: grpc.Channel) -> None:
    ask = channel.unary_unary(
        "/proto.EchoTestService/Echo", Asked.SerializeToString, Told.FromString
    )
    with pytest.raises(grpc.RpcError) as caught:
        ask(Asked(message="a" * 1000), compression=grpc.Compression.Gzip, timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_over_tls_the_handshake_is_shown(
    ports: tuple[int, int], certificate: tuple[str, str]
) -> None:
    trust = grpc.ssl_channel_credentials(Path(certificate[0]).read_bytes())
    options = (("grpc.ssl_target_name_override", HOST),)
    with grpc.secure_channel(f"127.0.0.1:{ports[1]}", trust, options) as channel:
        tls = call(channel, "Echo").assertions.tls_assertions
    assert (tls.version, tls.negotiated_protocol, tls.server_name) == ("TLSv1.3", "h2", HOST)
    assert tls.cipher_suite.startswith("TLS_")


def test_many_calls_share_a_connection(channel: grpc.Channel) -> None:
    ask = channel.unary_unary(
        SERVICE + "Echo", EchoRequest.SerializeToString, EchoResponse.FromString
    )
    waiting = [ask.future(EchoRequest(), timeout=10) for _ in range(300)]
    assert len([each.result() for each in waiting]) == 300


def test_echo_advanced_answers_istio_s_test_service(tmp_path: Path) -> None:
    http, secure, port, tcp = map(str, free_ports(4))
    words = [ADVANCED, f"--port={http}", f"--tls={secure}", f"--grpc={port}", f"--tcp={tcp}"]
    with (
        running(tmp_path / "log", {}, words),
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        ask = channel.unary_unary(
            "/proto.EchoTestService/Echo", Asked.SerializeToString, Told.FromString
        )
        message = Asked(message="hello")
        told = json.loads(ask(message, metadata=(("colour", "red"),), timeout=5).message)
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/proto.EchoTestService/ForwardEcho", bytes, bytes)(b"", timeout=5)
    assert (told["message"], told["headers"]["Colour"]) == ("hello", ["red"])
    assert (told["pod"], told["httpPort"], told["proto"]) == ("web-1", port, "HTTP/2.0")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
