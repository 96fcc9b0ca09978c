"""What the plugin asks and is answered: a codec (the plugin's own file draws the octets)."""

import json
from dataclasses import dataclass
from typing import Final

from mesh.errors import MeshError, PeerError
from mesh.model.fields import Json

MAX_CALL_OCTETS: Final = 4 * 1024 * 1024
"""Variables and configuration with the earlier plugins' results."""

TRY_AGAIN: Final = 11
"""CNI's code for an error that may be gone next time."""
BAD_CONFIG: Final = 7


class PluginCallInvalidError(PeerError):
    """What a runtime gave to the plugin is no call of CNI."""

    code = "plugin_call_invalid"

    def __init__(self, reason: str) -> None:
        """Keep what was wrong."""
        super().__init__(f"not a call of CNI: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginCall:
    """One call of the plugin. Words that the runtime did not say are empty."""

    command: str
    container: str = ""
    netns: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    version: str = ""
    previous: Json = None
    """The earlier plugins' result."""

    @property
    def pod(self) -> str:
        """The pod, for people."""
        return f"{self.namespace}/{self.name}"


def decode(octets: bytes) -> PluginCall:
    """Read a whole call.

    Raises:
        PluginCallInvalidError: the octets are none.
    """
    if len(octets) > MAX_CALL_OCTETS:
        raise PluginCallInvalidError(f"over {MAX_CALL_OCTETS} octets")
    head, ended, given = octets.partition(b"\0\0")
    if not ended:
        raise PluginCallInvalidError("the variables have no end")
    variables = _pairs(head.decode("utf-8", "replace").split("\0"))
    words = _pairs(variables.get("CNI_ARGS", "").split(";"))
    config = _config(given)
    version = config.get("cniVersion")
    return PluginCall(
        command=variables.get("CNI_COMMAND", ""),
        container=variables.get("CNI_CONTAINERID", ""),
        netns=variables.get("CNI_NETNS", ""),
        namespace=words.get("K8S_POD_NAMESPACE", ""),
        name=words.get("K8S_POD_NAME", ""),
        uid=words.get("K8S_POD_UID", ""),
        version=version if isinstance(version, str) else "",
        previous=config.get("prevResult"),
    )


def _pairs(words: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _config(given: bytes) -> dict[str, Json]:
    try:
        config = json.loads(given)
    except (ValueError, RecursionError) as error:
        raise PluginCallInvalidError(f"the configuration is no JSON ({error})") from None
    if not isinstance(config, dict):
        raise PluginCallInvalidError("the configuration is no mapping")
    return config


def success(call: PluginCall) -> bytes:
    """The plugin prints what the earlier plugins said, where the command has a result."""
    return b"0" + (json.dumps(call.previous).encode() if call.command == "ADD" else b"")


def failure(version: str, code: int, error: MeshError) -> bytes:
    """The plugin prints an error of CNI and fails."""
    message = {"cniVersion": version or "1.0.0", "code": code, "msg": str(error)}
    return b"1" + json.dumps(message | {"details": error.code}).encode()
