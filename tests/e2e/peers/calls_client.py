"""A grpcio client in a pod: each kind of call to the server beside; what came is JSON."""

import json
import os
import queue
import sys
import time
from collections.abc import Callable, Iterator

import grpc

SECONDS = 10


def same(message: bytes) -> bytes:
    """Messages are octets here."""
    return message


def unary(channel: grpc.Channel, name: str = "OneOne") -> object:
    """Its metadata and trailers, twenty times on one channel."""
    call = channel.unary_unary(f"/t.Test/{name}", same, same)
    for _ in range(20):
        answer, done = call.with_call(b"hello", timeout=SECONDS, metadata=(("x-env", "canary"),))
    initial = {key: str(value) for key, value in done.initial_metadata()}
    trailing = {key: str(value) for key, value in done.trailing_metadata()}
    return {"answer": answer.decode(), "initial": initial, "trailing": trailing}


def fails(channel: grpc.Channel, message: str, seconds: str = "10", name: str = "OneOne") -> object:
    """A call that has no answer: its status, and how long it took."""
    began = time.monotonic()
    try:
        channel.unary_unary(f"/t.Test/{name}", same, same)(
            message.encode(), timeout=float(seconds), metadata=(("x-env", "canary"),)
        )
    except grpc.RpcError as error:
        took = time.monotonic() - began
        trailing = {key: str(value) for key, value in error.trailing_metadata() or ()}
        return {
            "code": error.code().name,
            "details": error.details(),
            "trailing": trailing,
            "took": took,
        }
    return {"code": "OK"}


def deadline(channel: grpc.Channel) -> object:
    """What the server knows of the call's time."""
    call = channel.unary_unary("/t.Test/OneOne", same, same)
    return int(call(b"left", timeout=5))


def one_many(channel: grpc.Channel) -> object:
    """Two thousand messages."""
    call = channel.unary_stream("/t.Test/OneMany", same, same)
    sizes = [len(message) for message in call(b"2000", timeout=SECONDS)]
    return {"messages": len(sizes), "octets": sum(sizes)}


def many_one(channel: grpc.Channel) -> object:
    """Messages of 100 kB."""
    call = channel.stream_unary("/t.Test/ManyOne", same, same)
    return int(call(iter([bytes(100_000)] * 50), timeout=SECONDS))


def many_many(channel: grpc.Channel) -> object:
    """Each message is sent when the one before it was answered."""
    waiting: queue.Queue[bytes | None] = queue.Queue()

    def messages() -> Iterator[bytes]:
        while (message := waiting.get()) is not None:
            yield message

    answers = channel.stream_stream("/t.Test/ManyMany", same, same)(messages(), timeout=SECONDS)
    came = []
    for number in range(50):
        waiting.put(b"m%d" % number)
        came.append(next(answers).decode())
    waiting.put(None)
    return {"came": came, "rest": len(list(answers))}


def cancel(channel: grpc.Channel) -> object:
    """A stream that is left in the middle; the channel goes on."""
    answers = channel.unary_stream("/t.Test/OneMany", same, same)(b"100000", timeout=SECONDS)
    next(answers)
    answers.cancel()
    return unary(channel)


def echo(channel: grpc.Channel) -> object:
    """Istio's echo: its message, among a few octets of protobuf."""
    call = channel.unary_unary("/proto.EchoTestService/Echo", same, same)
    return call(b"", timeout=SECONDS).decode("utf-8", "replace")


CALLS: dict[str, Callable[..., object]] = {
    each.__name__: each
    for each in (unary, fails, deadline, one_many, many_one, many_many, cancel, echo)
}

if __name__ == "__main__":
    os.environ["GRPC_DNS_RESOLVER"] = "native"  # the pod's search domains
    where, which, *words = sys.argv[1:]
    with grpc.insecure_channel(where) as opened:
        json.dump(CALLS[which](opened, *words), sys.stdout)
