"""Sends requests and writes down what came back; runs inside of a pod.

Reads a list of requests as JSON from the standard input, and writes a list of lists of answers:
each request is sent `count` times.
"""

import http.client
import json
import os
import sys
import urllib.parse
from typing import TypedDict

SECONDS = 10
METHOD = "/proto.EchoTestService/Echo"


class Request(TypedDict):
    """What is to be sent."""

    url: str
    headers: dict[str, str]
    count: int


def echoed(octets: bytes) -> dict[str, object]:
    """The fields of an echo's answer; none when nobody echoed."""
    try:
        found = json.loads(octets)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def ask_http(request: Request) -> list[dict[str, object]]:
    """Send a request over one connection, as often as it says."""
    parts = urllib.parse.urlsplit(request["url"])
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    headers = {"Host": parts.netloc, **request["headers"]}
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=SECONDS)
    answers = []
    for _ in range(request["count"]):
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        octets = response.read()
        shown = {name.lower(): value for name, value in response.getheaders()}
        answers.append({"status": response.status, "headers": shown, "echo": echoed(octets)})
    connection.close()
    return answers


def ask_grpc(request: Request) -> list[dict[str, object]]:
    """Call the echo of a gRPC port, as often as the request says."""
    os.environ["GRPC_DNS_RESOLVER"] = "native"  # the pod's search domains
    import grpc  # noqa: PLC0415 - costs more than all of HTTP

    from sluice.lab.proto.echo_test_pb2 import EchoRequest, EchoResponse  # noqa: PLC0415

    answers = []
    metadata = tuple(request["headers"].items())
    with grpc.insecure_channel(urllib.parse.urlsplit(request["url"]).netloc) as channel:
        call = channel.unary_unary(METHOD, EchoRequest.SerializeToString, EchoResponse.FromString)
        for _ in range(request["count"]):
            try:
                told = call(EchoRequest(message="hello"), metadata=metadata, timeout=SECONDS)
                answers.append({"status": 0, "headers": {}, "echo": json.loads(told.message)})
            except grpc.RpcError as error:
                answers.append({"status": error.code().value[0], "headers": {}, "echo": {}})
    return answers


def main() -> None:
    """Answer the standard input."""
    asks = {"http": ask_http, "grpc": ask_grpc}
    requests = json.load(sys.stdin)
    answers = [asks[urllib.parse.urlsplit(each["url"]).scheme](each) for each in requests]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
