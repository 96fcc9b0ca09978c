#!/usr/bin/python3 -SEI
"""The CNI plugin `sluice-cni`: a doorbell. The node agent decides and acts.

This one file is copied as it is into the runtime's folder of plugins. A pod's start waits for it,
so it imports only what the interpreter has built in; `json` only where an answer is made here.

1. It sends the CNI variables and its standard input to the agent's socket, prints the answer, and
   ends with the answer's exit code. Any failure on the way to the agent is an error: the runtime
   tries again, and the pod does not start unguarded.
2. A pod of a namespace in `excludeNamespaces` never waits for the agent.
3. DEL always succeeds: a pod that goes must not be held up by an agent that is away.

To the agent: `NAME=VALUE` pairs and an empty one, each ended by a zero octet, then standard input
to its end. From the agent: one digit, the exit code, then what to print.
"""

import _socket
import posix
import sys

VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
VARIABLES = ("CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH")
SECONDS = 30.0
TRY_AGAIN = 11  # CNI spec 1.0.0, section 5: "Try again later"
BAD_INPUT = 6  # "Failed to decode content"
SOCKET = "/run/sluice-cni/pluginevent.sock"
LARGEST = 4 * 1024 * 1024


def variable(name: str) -> str:
    """An environment variable; empty when it is not set."""
    return posix.environ.get(name.encode(), b"").decode("utf-8", "replace")


def read_all() -> bytes:
    """Standard input to its end."""
    pieces = []
    left = LARGEST
    while left > 0 and (piece := posix.read(0, min(left, 65536))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def write_all(octets: bytes) -> None:
    """Everything to standard output."""
    while octets:
        octets = octets[posix.write(1, octets) :]


def setting(given: bytes, name: bytes, default: str) -> str:
    """A text of the configuration, found without parsing it; JSON escapes are not undone."""
    _, found, rest = given.partition(b'"' + name + b'"')
    if not found:
        return default
    parts = rest.split(b'"', 2)
    return parts[1].decode("utf-8", "replace") if parts[0].strip() == b":" else default


def namespace_of_pod() -> str:
    """The pod's namespace, as the runtime says it; empty outside of Kubernetes."""
    for pair in variable("CNI_ARGS").split(";"):
        name, _, value = pair.partition("=")
        if name == "K8S_POD_NAMESPACE":
            return value
    return ""


def is_excluded(given: bytes) -> bool:
    """Whether the pod is none of the mesh's business; parses only when that may be so."""
    namespace = namespace_of_pod()
    if not namespace:
        return True
    if b'"' + namespace.encode() + b'"' not in given:
        return False
    import json  # noqa: PLC0415 - 6 ms that most calls need not spend

    try:
        configuration = json.loads(given)
        return namespace in configuration.get("excludeNamespaces", ())
    except (ValueError, AttributeError, TypeError):
        return False  # the agent names what is wrong


def passed_on(given: bytes) -> int:
    """Print the previous plugin's result, as a chained plugin does that has nothing to add."""
    import json  # noqa: PLC0415 - see is_excluded

    try:
        configuration = json.loads(given)
    except ValueError as error:
        return refused(BAD_INPUT, f"standard input is no JSON: {error}")
    if isinstance(configuration, dict) and "prevResult" in configuration:
        write_all(json.dumps(configuration["prevResult"]).encode())
        return 0
    return refused(BAD_INPUT, "no prevResult: sluice-cni must follow the plugin that connects pods")


def refused(code: int, reason: str) -> int:
    """Print an error in CNI's form."""
    import json  # noqa: PLC0415 - see is_excluded

    answer = {"cniVersion": "1.0.0", "code": code, "msg": "sluice-cni: " + reason}
    write_all(json.dumps(answer).encode())
    return 1


def asked(path: str, given: bytes) -> bytes:
    """The agent's answer."""
    words = b"".join(name.encode() + b"=" + variable(name).encode() + b"\0" for name in VARIABLES)
    question = words + b"\0" + given
    end = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    end.settimeout(SECONDS)
    end.connect(path)
    while question:
        question = question[end.send(question) :]
    end.shutdown(_socket.SHUT_WR)
    pieces = []
    while piece := end.recv(65536):
        pieces.append(piece)
    end.close()
    return b"".join(pieces)


def rung(command: str, given: bytes) -> int:
    """Ask the agent, and do as it says."""
    path = setting(given, b"agentSocket", SOCKET)
    try:
        answer = asked(path, given)
        reason = "hung up before it answered; it may be restarting"
    except OSError as error:
        answer = b""
        reason = f"does not answer ({error}); is sluice-cni-agent running on this node?"
    if answer[:1] in (b"0", b"1"):
        write_all(answer[1:])
        return int(answer[:1])
    if command in ("DEL", "GC"):
        return 0
    return refused(TRY_AGAIN, f"the node agent at {path} {reason} The pod waits until it is there")


def main() -> int:
    """Serve one call of the runtime; the exit code."""
    command = variable("CNI_COMMAND")
    if command == "VERSION":
        listed = ", ".join('"' + version + '"' for version in VERSIONS)
        write_all(f'{{"cniVersion": "1.1.0", "supportedVersions": [{listed}]}}'.encode())
        return 0
    given = read_all()
    if command in ("ADD", "CHECK") and is_excluded(given):
        return passed_on(given) if command == "ADD" else 0
    return rung(command, given)


if __name__ == "__main__":
    sys.exit(main())
