"""Puts the plugin and its configuration onto the node, and sees to it that they stay there.

1. Files appear by rename: a runtime never reads half of one.
2. They stay when the agent ends: pods that start without it wait, rather than run outside.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from cni.conflist import (
    LIST_SUFFIX,
    PLUGIN_TYPE,
    SINGLE_SUFFIX,
    NetworkConfigInvalidError,
    entry,
    with_plugin,
)
from cni.status import Status
from mesh.errors import UnavailableError
from mesh.runtime.manifests_watch import FolderWatch

RETRY_SECONDS: Final = 5.0
SOURCE: Final = Path(__file__).with_name("plugin") / "sluice_cni.py"
_PROGRAM_RIGHTS: Final = 0o755

log = logging.getLogger(__name__)


class InstallFailedError(UnavailableError):
    """The plugin, or its configuration, cannot be written onto the node."""

    code = "plugin_not_installed"

    def __init__(self, path: Path, reason: str) -> None:
        """Keep the path and the kernel's reason."""
        super().__init__(f"{path}: {reason}; the plugin is not installed")
        self.path, self.reason = path, reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where what goes."""

    net_dir: Path
    bin_dir: Path
    run_dir: Path
    excluded: tuple[str, ...]


async def keep_installed(places: Places, status: Status) -> None:
    """Install, and again after each change of the folders, for ever.

    Raises:
        WatchFailedError: the kernel's inotify limits are used up.

    Cancellation: stops between two installations.
    """
    with FolderWatch(()) as watch:
        while True:
            watch.add(places.net_dir)
            watch.add(places.bin_dir)
            try:
                if await trio.to_thread.run_sync(install, places):
                    status.count_install()
                status.is_installed = True
            except UnavailableError as error:
                status.is_installed = False
                log.warning("%s", error, extra={"code": error.code})
            # A folder that is written to again and again costs one look in a while.
            with trio.move_on_after(RETRY_SECONDS if not status.is_installed else float("inf")):
                await watch.wait_changed()


def install(places: Places) -> bool:
    """Write what is missing; whether there was anything.

    Raises:
        InstallFailedError: a full disk, no right, or no network configuration yet.
        NetworkConfigInvalidError: the configuration cannot be read.
    """
    program = SOURCE.read_bytes()
    wrote = _write(places.bin_dir / PLUGIN_TYPE, program, _PROGRAM_RIGHTS)
    return _configure(places) or wrote


def _configure(places: Places) -> bool:
    path, text = _network_config(places.net_dir)
    plugin = entry(os.fspath(places.run_dir), places.excluded)
    name, wanted = with_plugin(path.name, text, plugin)
    wrote = _write(path.with_name(name), wanted.encode(), path.stat().st_mode & 0o777)
    if name != path.name:
        path.unlink(missing_ok=True)
    return wrote


def _network_config(folder: Path) -> tuple[Path, str]:
    """The configuration that runtimes take: the first by name that can be read."""
    problem: NetworkConfigInvalidError | None = None
    for path in sorted(folder.glob("*")):
        if path.suffix not in {SINGLE_SUFFIX, LIST_SUFFIX}:
            continue
        try:
            text = path.read_text()
            with_plugin(path.name, text, {})
        except (OSError, UnicodeDecodeError):
            continue
        except NetworkConfigInvalidError as error:
            problem = problem or error
        else:
            return path, text
    raise problem or InstallFailedError(folder, "no network configuration yet")


def _write(path: Path, octets: bytes, rights: int) -> bool:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        is_there = path.is_file() and path.stat().st_mode & 0o777 == rights
        if is_there and path.read_bytes() == octets:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(octets)
        temporary.chmod(rights)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InstallFailedError(path, error.strerror or str(error)) from error
    return True
