"""Sends requests and writes down what came back; runs inside of a pod.

Reads a list of requests as JSON from the standard input, and writes a list of lists of answers:
each request is sent `count` times.
"""

import http.client
import json
import os
import socket
import sys
import urllib.parse
from typing import TypedDict

SECONDS = 10
BROKEN = -1
"""The status of a connection that broke."""
METHOD = "/proto.EchoTestService/Echo"
FRAMES = ("text", "octets")


class Request(TypedDict):
    """What is to be sent."""

    url: str
    method: str
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
        connection.request(request["method"], target, headers=headers)
        response = connection.getresponse()
        octets = response.read()
        shown: dict[str, list[str]] = {}
        for name, value in response.getheaders():
            shown.setdefault(name.lower(), []).append(value)
        joined = {name: ",".join(values) for name, values in shown.items()}
        answers.append({"status": response.status, "headers": joined, "echo": echoed(octets)})
    connection.close()
    return answers


def ask_grpc(request: Request) -> list[dict[str, object]]:
    """Call the echo of a gRPC port, as often as the request says."""
    os.environ["GRPC_DNS_RESOLVER"] = "native"  # the pod's search domains
    import grpc  # noqa: PLC0415 - costs more than all of HTTP

    from sluice.lab.proto import echo_test_pb2, grpc_echo_pb2  # noqa: PLC0415

    def told(octets: bytes) -> object:
        if method == METHOD:
            return json.loads(echo_test_pb2.EchoResponse.FromString(octets).message)
        assertions = grpc_echo_pb2.EchoResponse.FromString(octets).assertions
        headers = {each.key.title(): [each.value] for each in assertions.headers}
        path = assertions.fully_qualified_method
        return {"pod": assertions.context.pod, "path": path, "headers": headers}

    answers: list[dict[str, object]] = []
    parts = urllib.parse.urlsplit(request["url"])
    method, metadata = parts.path or METHOD, tuple(request["headers"].items())
    with grpc.insecure_channel(parts.netloc) as channel:
        call = channel.unary_unary(method, bytes, bytes)
        for _ in range(request["count"]):
            try:
                echo = told(call(b"", metadata=metadata, timeout=SECONDS))
                answers.append({"status": 0, "headers": {}, "echo": echo})
            except grpc.RpcError as error:
                answers.append({"status": error.code().value[0], "headers": {}, "echo": {}})
    return answers


def ask_websocket(request: Request) -> list[dict[str, object]]:
    """Send a frame of text and one of octets; what came back is the echo."""
    from wsproto import ConnectionType, WSConnection, events  # noqa: PLC0415

    parts = urllib.parse.urlsplit(request["url"])
    address = (parts.hostname or "", parts.port or 80)
    codec = WSConnection(ConnectionType.CLIENT)
    came: list[str] = []
    with socket.create_connection(address, SECONDS) as end:
        extra = [(name.encode(), value.encode()) for name, value in request["headers"].items()]
        asks = events.Request(host=parts.netloc, target=parts.path, extra_headers=extra)
        end.sendall(codec.send(asks))
        while len(came) < len(FRAMES):
            octets = end.recv(65536)
            codec.receive_data(octets or None)
            for event in codec.events():
                if isinstance(event, events.AcceptConnection):
                    end.sendall(codec.send(events.TextMessage(FRAMES[0])))
                    end.sendall(codec.send(events.BytesMessage(FRAMES[1].encode())))
                elif isinstance(event, events.TextMessage):
                    came.append(event.data)
                elif isinstance(event, events.BytesMessage):
                    came.append(bytes(event.data).decode())
                else:
                    return [{"status": 0, "headers": {}, "echo": {"event": str(event)}}]
    return [{"status": 101 if came == list(FRAMES) else 0, "headers": {}, "echo": {}}]


def main() -> None:
    """Answer the standard input."""
    asks = {"http": ask_http, "grpc": ask_grpc, "ws": ask_websocket}
    requests = json.load(sys.stdin)
    answers = []
    for request in requests:
        try:
            answers.append(asks[urllib.parse.urlsplit(request["url"]).scheme](request))
        except (OSError, http.client.HTTPException) as error:
            answers.append([{"status": BROKEN, "headers": {}, "echo": {"error": str(error)}}])
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
