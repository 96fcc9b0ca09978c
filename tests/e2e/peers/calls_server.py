"""A grpcio server in a pod: all four kinds of calls, on the port that it is given."""

import sys
import time
from collections.abc import Iterator
from concurrent import futures

import grpc


def one_one(request: bytes, context: grpc.ServicerContext) -> bytes:
    """Echo; `fail`: an error with words and trailers; `wait`: longer than anybody does."""
    metadata = dict(context.invocation_metadata())
    context.set_trailing_metadata((("x-trailer", str(metadata.get("x-env"))),))
    if request == b"fail":
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as asked: 50% é")
    if request == b"wait":
        time.sleep(3)  # noqa: TID251 - the deadline of the call is over before
    if request == b"left":
        return b"%d" % (context.time_remaining() or 0)
    context.send_initial_metadata((("x-initial", "yes"), ("x-octets-bin", b"\0\xff")))
    return request


def one_many(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    """As many messages as asked, each of 1000 octets."""
    del context
    for number in range(int(request)):
        yield b"%d" % number + bytes(1000)


def many_one(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
    """How many octets came."""
    del context
    return b"%d" % sum(len(request) for request in requests)


def many_many(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    """An answer to each message, before the next."""
    del context
    for request in requests:
        yield request.upper()


HANDLERS = {
    "OneOne": grpc.unary_unary_rpc_method_handler(one_one),
    "OneMany": grpc.unary_stream_rpc_method_handler(one_many),
    "ManyOne": grpc.stream_unary_rpc_method_handler(many_one),
    "ManyMany": grpc.stream_stream_rpc_method_handler(many_many),
}

if __name__ == "__main__":
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.Test", HANDLERS),))
    server.add_insecure_port(f"[::]:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()
