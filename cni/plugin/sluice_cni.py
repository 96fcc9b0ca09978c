#!/usr/bin/python3 -SEI
"""The network plugin: a pipe to the node agent, run by the container runtime for each pod.

Every pod waits for this program, so it starts in some milliseconds: built-in modules only, and no
decisions but two. Pods of the namespaces that its configuration excludes never wait for the agent;
for any other pod no agent means no pod: the runtime tries again.

    to the agent    CNI_X=value NUL ... NUL NUL standard input; then the end
    from the agent  the digit of our exit code, then our standard output
"""

import _socket
import posix

SUPPORTED = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")
AGENT_SECONDS = 60.0
DEL_SECONDS = 5.0
BAD_VERSION, BAD_VARIABLES, BAD_JSON, BAD_CONFIG, TRY_AGAIN, NOT_READY = 1, 4, 6, 7, 11, 50


class RefusedError(Exception):
    """An error for the runtime."""

    def __init__(self, code: int, text: str) -> None:
        """Keep what CNI calls `code` and `msg`."""
        self.code, self.text = code, text


def main() -> int:
    """Do what the variables say; the exit code."""
    version = SUPPORTED[-1]
    try:
        command, given = variable("CNI_COMMAND"), read_all()
        config = parsed(given)
        asked = str(config.get("cniVersion", SUPPORTED[0]))
        version = asked if asked in SUPPORTED else version
        return obey(command, asked, config, given)
    except RefusedError as error:
        put(encoded({"cniVersion": version, "code": error.code, "msg": error.text}))
        return 1


def obey(command: str, version: str, config: dict[str, object], given: bytes) -> int:
    """Any command."""
    if command == "VERSION":
        put(encoded({"cniVersion": version, "supportedVersions": SUPPORTED}))
        return 0
    if version not in SUPPORTED:
        raise RefusedError(BAD_VERSION, f"cniVersion {version} is none of {', '.join(SUPPORTED)}")
    if command == "DEL":
        try:  # noqa: SIM105 - contextlib costs milliseconds
            ask(config, given, DEL_SECONDS)
        except (RefusedError, OSError):
            pass  # a pod must always be able to go; the agent sees by itself that it has gone
        return 0
    if command == "GC":
        return 0
    if command == "STATUS":
        return told(config, given, NOT_READY, "no pod can start")
    if command in {"ADD", "CHECK"}:
        return attach(command, config, given)
    raise RefusedError(BAD_VARIABLES, f"CNI_COMMAND={command} is not known")


def attach(command: str, config: dict[str, object], given: bytes) -> int:
    """ADD or CHECK."""
    words = dict(word.partition("=")[::2] for word in variable("CNI_ARGS", "").split(";"))
    namespace, name = words.get("K8S_POD_NAMESPACE"), words.get("K8S_POD_NAME")
    excluded = config.get("exclude_namespaces")
    if "prevResult" not in config:
        raise RefusedError(BAD_CONFIG, "no prevResult: sluice-cni stands after another plugin")
    if not (namespace and name) or (isinstance(excluded, list) and namespace in excluded):
        if command == "ADD":
            put(encoded(config["prevResult"]))
        return 0
    return told(config, given, TRY_AGAIN, f"pod {namespace}/{name} waits")


def told(config: dict[str, object], given: bytes, code: int, so: str) -> int:
    """Do what the agent answers; without an answer, refuse."""
    try:
        answer = ask(config, given, AGENT_SECONDS)
    except OSError as error:
        reason = error.strerror or str(error)
    else:
        if answer[:1] in {b"0", b"1"}:
            put(answer[1:])
            return answer[0] - ord("0")
        reason = "it ended in the middle"
    where = f"{config.get('cni_agent_run_dir')}/pluginevent.sock: {reason}"
    mend = "start sluice-cni-agent on this node, or look at its log"
    raise RefusedError(code, f"no answer of the node agent ({where}): {so}; {mend}")


def ask(config: dict[str, object], given: bytes, seconds: float) -> bytes:
    """The agent's whole answer."""
    folder = config.get("cni_agent_run_dir")
    if not isinstance(folder, str):
        raise RefusedError(BAD_CONFIG, "no cni_agent_run_dir in the configuration of sluice-cni")
    call = [name + b"=" + value for name, value in posix.environ.items() if name[:4] == b"CNI_"]
    agent = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    agent.settimeout(seconds)
    agent.connect(folder + "/pluginevent.sock")
    agent.sendall(b"\0".join(call) + b"\0\0" + given)
    agent.shutdown(_socket.SHUT_WR)
    answer = b""
    while True:
        octets = agent.recv(65536)
        if not octets:
            return answer
        answer += octets


def variable(name: str, default: str | None = None) -> str:
    """The text of a variable."""
    value = posix.environ.get(name.encode())
    if value is not None:
        return value.decode("utf-8", "replace")
    if default is None:
        raise RefusedError(BAD_VARIABLES, f"no variable {name}")
    return default


def read_all() -> bytes:
    """Standard input, whole."""
    octets = b""
    while True:
        more = posix.read(0, 65536)
        if not more:
            return octets
        octets += more


def parsed(given: bytes) -> dict[str, object]:
    """The configuration."""
    try:
        config = scanned(given.decode().strip())
    except (ValueError, RecursionError):
        raise RefusedError(BAD_JSON, "the configuration on standard input is no JSON") from None
    if not isinstance(config, dict):
        raise RefusedError(BAD_CONFIG, "the configuration on standard input is no mapping")
    return config


def scanned(text: str) -> object:
    """The value of a JSON text.

    The json package would take as long as all the rest together: its inner part is taken straight
    from the interpreter, where that has it built in.
    """

    class Scanning:
        strict = True
        object_hook = object_pairs_hook = None
        parse_float, parse_int, parse_constant = float, int, float

    try:
        from _json import make_scanner  # noqa: PLC0415 - not every interpreter has it built in

        found: tuple[object, int] = make_scanner(Scanning)(text, 0)  # type: ignore[arg-type] # any
        if found[1] == len(text):
            return found[0]
    except (ImportError, ValueError, StopIteration, SystemError):
        pass  # whatever it was, the package tells it properly
    from json import loads  # noqa: PLC0415 - only when the fast way found something wrong

    value: object = loads(text)
    return value


def encoded(value: object) -> str:
    """JSON."""
    from json import dumps  # noqa: PLC0415 - not needed for a pod that the agent answers for

    return dumps(value)


def put(text: str | bytes) -> None:
    """Write standard output, whole."""
    octets = text.encode() if isinstance(text, str) else text
    while octets:
        octets = octets[posix.write(1, octets) :]


if __name__ == "__main__":
    # Nothing is left to tidy up, and the interpreter's end costs time.
    posix._exit(main())  # noqa: SLF001 - its name in the built-in module
