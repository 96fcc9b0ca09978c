"""A grpcio client and server with a proxy of our HTTP/2 connections between them."""

import threading
import time
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest

from tests.interop.http_proxy import Running, http2_client, http2_server, running_proxy


def one_one(request: bytes, context: grpc.ServicerContext) -> bytes:
    metadata = dict(context.invocation_metadata())
    if request == b"fail":
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as asked: 50%")
    if request == b"wait":
        time.sleep(0.3)  # noqa: TID251 - the deadline of the call is over before
    context.set_trailing_metadata((("x-trailer", str(metadata.get("x-env"))),))
    return request


def one_many(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    del context
    for number in range(int(request)):
        yield b"%d" % number


def many_one(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
    del context
    return b"%d" % sum(len(request) for request in requests)


def many_many(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    del context
    for request in requests:
        yield request.upper()


HANDLERS = {
    "OneOne": grpc.unary_unary_rpc_method_handler(one_one),
    "OneMany": grpc.unary_stream_rpc_method_handler(one_many),
    "ManyOne": grpc.stream_unary_rpc_method_handler(many_one),
    "ManyMany": grpc.stream_stream_rpc_method_handler(many_many),
}


@pytest.fixture(scope="module")
def proxy() -> Iterator[Running]:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.Test", HANDLERS),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with running_proxy(port, http2_server, http2_client) as running:
        yield running
    server.stop(0).wait()


def same(message: bytes) -> bytes:
    """Messages are octets here."""
    return message


def unary(
    channel: grpc.Channel, method: str = "OneOne"
) -> "grpc.UnaryUnaryMultiCallable[bytes, bytes]":
    return channel.unary_unary(f"/t.Test/{method}", same, same)


@pytest.fixture
def channel(proxy: Running) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{proxy.port}") as channel:
        yield channel


def test_one_request_has_one_answer_and_its_trailers(channel: grpc.Channel) -> None:
    call = unary(channel)
    for _ in range(20):
        answer, done = call.with_call(b"hello", timeout=10, metadata=(("x-env", "canary"),))
        assert answer == b"hello"
        assert dict(done.trailing_metadata())["x-trailer"] == "canary"


def test_a_large_message_passes(channel: grpc.Channel) -> None:
    message = bytes(range(256)) * 8000
    assert unary(channel)(message, timeout=20) == message


def test_one_request_has_many_answers(channel: grpc.Channel) -> None:
    answers = list(channel.unary_stream("/t.Test/OneMany", same, same)(b"300", timeout=10))
    assert answers == [b"%d" % number for number in range(300)]


def test_many_requests_have_one_answer(channel: grpc.Channel) -> None:
    call = channel.stream_unary("/t.Test/ManyOne", same, same)
    assert call(iter([b"x" * 1000] * 200), timeout=10) == b"200000"


def test_requests_and_answers_alternate(channel: grpc.Channel) -> None:
    may_go_on = threading.Semaphore(1)

    def requests() -> Iterator[bytes]:
        for word in (b"a", b"b", b"c"):
            may_go_on.acquire(timeout=10)
            yield word

    answers = []
    for answer in channel.stream_stream("/t.Test/ManyMany", same, same)(requests(), timeout=10):
        answers.append(answer)
        may_go_on.release()
    assert answers == [b"A", b"B", b"C"]


def test_an_error_has_its_code_and_words(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        unary(channel)(b"fail", timeout=10)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details() == "as asked: 50%"
    with pytest.raises(grpc.RpcError) as caught:
        unary(channel, "Nothing")(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_deadline_ends_a_call_and_no_other(channel: grpc.Channel) -> None:
    call = unary(channel)
    with pytest.raises(grpc.RpcError) as caught:
        call(b"wait", timeout=0.1)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert call(b"next", timeout=10) == b"next"


@pytest.mark.slow
def test_a_deadline_in_the_middle_of_a_stream_ends_it(channel: grpc.Channel) -> None:
    call = channel.stream_stream("/t.Test/ManyMany", same, same)
    held = threading.Event()

    def requests() -> Iterator[bytes]:
        yield b"a"
        held.wait(10)

    answers = iter(call(requests(), timeout=0.3))
    assert next(answers) == b"A"
    with pytest.raises(grpc.RpcError):
        next(answers)
    held.set()
    assert unary(channel)(b"next", timeout=10) == b"next"
