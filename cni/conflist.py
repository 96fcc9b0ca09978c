"""Our plugin in a node's network configuration: text to text.

The configuration is somebody else's; one entry is added at its end, and everything else stays as it
was, also what we do not know.
"""

import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

from mesh.errors import UnavailableError
from mesh.model.fields import Json

PLUGIN_TYPE: Final = "sluice-cni"
SINGLE_SUFFIX: Final = ".conf"
LIST_SUFFIX: Final = ".conflist"
_WRAPPED_NAME: Final = "k8s-pod-network"


class NetworkConfigInvalidError(UnavailableError):
    """The node's network configuration cannot be read: our plugin cannot be put into it."""

    code = "network_config_invalid"

    def __init__(self, name: str, reason: str) -> None:
        """Keep the file's name and what is wrong."""
        super().__init__(f"network configuration {name}: {reason}; mend or remove the file")
        self.name, self.reason = name, reason


def entry(run_dir: str, excluded: Sequence[str]) -> dict[str, Json]:
    """The plugin's own configuration."""
    return {
        "type": PLUGIN_TYPE,
        "cni_agent_run_dir": run_dir,
        "exclude_namespaces": list(excluded),
    }


def with_plugin(name: str, text: str, plugin: dict[str, Json]) -> tuple[str, str]:
    """A configuration with our plugin at its end, in place of an entry that it had.

    Returns:
        The file's name (a single plugin becomes a list, under another suffix), and its text: the
        same text when nothing is to be done.

    Raises:
        NetworkConfigInvalidError: no JSON, or without plugins.
    """
    config = _parsed(name, text)
    if "plugins" not in config:
        config = _wrapped(name, config)
    plugins = config["plugins"]
    if not isinstance(plugins, list) or not plugins:
        raise NetworkConfigInvalidError(name, "plugins must be a list with something in it")
    others = [each for each in plugins if not _is_ours(each)]
    if not others:
        raise NetworkConfigInvalidError(name, "sluice-cni needs a plugin before it")
    if plugins == [*others, plugin]:
        return name, text
    listed = PurePath(name).with_suffix(LIST_SUFFIX).name
    return listed, json.dumps({**config, "plugins": [*others, plugin]}, indent=2) + "\n"


def _parsed(name: str, text: str) -> dict[str, Json]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NetworkConfigInvalidError(name, f"is no JSON ({error})") from None
    if not isinstance(config, dict):
        raise NetworkConfigInvalidError(name, "is no mapping")
    return config


def _wrapped(name: str, config: dict[str, Json]) -> dict[str, Json]:
    if "type" not in config:
        raise NetworkConfigInvalidError(name, "has neither plugins nor a type")
    version = config.get("cniVersion", "0.3.1")
    return {"cniVersion": version, "name": _WRAPPED_NAME, "plugins": [config]}


def _is_ours(plugin: Json) -> bool:
    return isinstance(plugin, dict) and plugin.get("type") == PLUGIN_TYPE
