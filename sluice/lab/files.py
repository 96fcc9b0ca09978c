"""Files shown at other places, in mounts that only a container or one command sees."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mesh.runtime.mounts import bind, detach
from sluice.lab.home import NETNS

RESOLV_CONF: Final = Path("/etc/resolv.conf")


@dataclass(frozen=True, slots=True)
class FileMount:
    """A file or folder to be shown at another place."""

    source: Path
    target: Path
    is_read_only: bool = False


def hide_namespaces() -> None:
    """Let all labs' namespaces go from the calling thread's own mounts: a copy keeps one alive."""
    for path in NETNS.glob("sluice-*"):
        detach(path)


def show(files: tuple[FileMount, ...]) -> None:
    """Mount files in the calling thread's own mounts; a resolver file that is missing is left out.

    Raises:
        MountRefusedError: a source or target that is not there.
    """
    for mount in files:
        if mount.target != RESOLV_CONF or RESOLV_CONF.exists():
            bind(mount.source, mount.target, is_read_only=mount.is_read_only)
