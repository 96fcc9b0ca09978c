"""Istio's MeshConfig, as far as we honour it: the rest is named in the log, and has no effect."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from controlplane.mesh_providers import read_providers
from controlplane.mesh_tracing import read_tracing
from controlplane.translate.settings import Provider, Traces
from mesh.errors import ConfigError
from mesh.model.fields import FieldInvalidError, Part
from mesh.routing.http.paths import PathNormalisation

_TEXTS: Final = ("trustDomain", "rootNamespace", "waypointNotReady")
HONOURED: Final = (
    *_TEXTS,
    "autoWaypoint",
    "defaultConfig",
    "defaultProviders",
    "enableTracing",
    "extensionProviders",
    "pathNormalization",
)
WAYPOINT_NOT_READY: Final = ("closed", "direct")
"""What becomes of connections while the waypoint that they ought to take is not ready: they are
refused, or go direct as Istio has it. Ours alone."""


class MeshConfigInvalidError(ConfigError):
    """The mesh configuration file cannot be read, or a field has a value that it cannot have."""

    code = "mesh_config_invalid"


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """Values of the file; None where it says nothing."""

    trust_domain: str | None = None
    root_namespace: str | None = None
    goes_direct: bool = False
    """`waypointNotReady: direct`."""
    auto_waypoint: bool = False
    """`autoWaypoint`, ours alone: services with routes get a waypoint without asking for one."""
    providers: tuple[Provider, ...] = ()
    """Of `extensionProviders`."""
    traces: Traces | None = None
    """Of `defaultProviders.tracing`."""
    path_normalisation: str = PathNormalisation.BASE.name
    """`pathNormalization.normalization`."""
    ignored: tuple[str, ...] = ()
    """Fields that have no effect here."""


def read_mesh_config(path: Path) -> MeshConfig:
    """Read a file.

    Raises:
        MeshConfigInvalidError: every problem at once.
    """
    try:
        found: object = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
    except OSError as error:
        reason = f"{path}: {error.strerror}: give a file that can be read to --mesh-config"
        raise MeshConfigInvalidError((reason,)) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise MeshConfigInvalidError((f"{path}: is not YAML: {reason}",)) from None
    if found is None:
        return MeshConfig()
    if not isinstance(found, dict):
        raise MeshConfigInvalidError((f"{path}: must be a mapping of MeshConfig fields",))
    problems = tuple(
        f"{path}: {name}: must be a string that is not empty"
        for name in _TEXTS
        if name in found and not (isinstance(found[name], str) and found[name])
    )
    not_ready = found.get("waypointNotReady", WAYPOINT_NOT_READY[0])
    if not problems and not_ready not in WAYPOINT_NOT_READY:
        mend = f"waypointNotReady: must be {' or '.join(WAYPOINT_NOT_READY)}"
        problems = (f"{path}: {mend}, is {not_ready!r}",)
    whole = Part(str(path), "", found)
    providers, others, wrong = read_providers(whole)
    traces, idle, bad = read_tracing(whole)
    paths, odd = _path_normalisation(whole)
    auto_waypoint, strange = _auto_waypoint(whole)
    problems += tuple(f"{path}: {each}" for each in (*wrong, *bad, *odd, *strange))
    if problems:
        raise MeshConfigInvalidError(problems)
    return MeshConfig(
        trust_domain=found.get("trustDomain"),
        root_namespace=found.get("rootNamespace"),
        goes_direct=not_ready == "direct",
        auto_waypoint=auto_waypoint,
        providers=providers,
        traces=traces,
        path_normalisation=paths,
        ignored=tuple(
            sorted((*(str(name) for name in found if name not in HONOURED), *others, *idle))
        ),
    )


def _auto_waypoint(whole: Part) -> tuple[bool, list[str]]:
    try:
        return whole.flag("autoWaypoint"), []
    except FieldInvalidError as error:
        return False, [f"{error.field}: {error.mend}"]


def _path_normalisation(whole: Part) -> tuple[str, list[str]]:
    try:
        word = whole.at("pathNormalization").text("normalization", "DEFAULT")
    except FieldInvalidError as error:
        return "", [f"{error.field}: {error.mend}"]
    word = PathNormalisation.BASE.name if word == "DEFAULT" else word
    names = [each.name for each in PathNormalisation]
    if word not in names:
        mend = f"must be one of {', '.join(names)}, is {word!r:.40}"
        return "", [f"pathNormalization.normalization: {mend}"]
    return word, []
