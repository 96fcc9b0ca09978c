"""Running a command in a place of the lab: this process goes there, and becomes the command."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mesh.errors import MeshError
from mesh.runtime.mounts import enter_mounts, own_mounts
from mesh.runtime.netns import enter, open_netns
from sluice.lab.files import RESOLV_CONF, FileMount, hide_namespaces, show
from sluice.lab.home import LAB_VARIABLE

_NOT_FOUND = 127
_CANNOT_RUN = 126


def become(place: Mapping[str, str], words: Sequence[str]) -> int:
    """Go to a place and become a command.

    Args:
        place: as the keeper has described it.
        words: the command.

    Returns:
        Only when there is no such command: the exit code that a shell would have.

    Raises:
        MeshError: the place is gone.
    """
    folder = Path.cwd()
    enter(open_netns(Path(place["netns"])))
    if not _enter_mounts_of(place):
        own_mounts()
        hide_namespaces()
        show((FileMount(Path(place["resolv_conf"]), RESOLV_CONF),))
    with suppress(OSError):
        os.chdir(folder)
    variables = dict(os.environ) | {LAB_VARIABLE: place[LAB_VARIABLE]}
    variables |= {
        name.removeprefix("env."): value for name, value in place.items() if name.startswith("env.")
    }
    try:
        os.execvpe(words[0], [*words], variables)  # noqa: S606 - that is what `exec` is for
    except FileNotFoundError:
        print(f"error: {words[0]}: there is no such command", file=sys.stderr)
        return _NOT_FOUND
    except OSError as error:
        print(f"error: {words[0]}: {error.strerror}", file=sys.stderr)
        return _CANNOT_RUN


def _enter_mounts_of(place: Mapping[str, str]) -> bool:
    """See what the pod's first container sees; false when it does not run just now."""
    if "mounts" not in place:
        return False
    try:
        enter_mounts(os.open(place["mounts"], os.O_RDONLY | os.O_CLOEXEC))
    except (OSError, MeshError):
        return False
    return True
