"""The last good state on disk: a proxy that starts while the control plane is away serves from it.

1. One file, replaced as a whole: a reader finds the old one or the new one, never half of one.
2. What it is not sure of, it does not use: another format, another control plane, garbage. Then the
   proxy starts as if there were nothing.
3. Writing happens in a thread, and never for two versions at once.
"""

import logging
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import trio

from mesh.errors import MeshError, PeerError
from mesh.runtime.bell import Bell
from mesh.runtime.control.store import Store
from mesh.wire.feed_codec import decode_resource
from mesh.wire.feed_fields import RESOURCES
from mesh.wire.pack import Packed, pack, unpack

FILE: Final = "last-good-state"
PAUSE_S: Final = 1.0
"""Between two writings: a burst of changes is written once."""
AGAIN_S: Final = 30.0
"""Until a full disk is tried again."""

FORMAT: Final = "1 " + " ".join(field.name for resource in RESOURCES for field in fields(resource))
"""A resource is written as its fields in order: a program with other fields must not read it."""

log = logging.getLogger(__name__)


class LastGoodInvalidError(PeerError):
    """A file of the last good state that cannot be used."""

    code = "last_good_invalid"


@dataclass(frozen=True, slots=True)
class LastGood:
    """What was saved."""

    saved_at: float
    """Seconds since the epoch."""
    version: int
    octets: Mapping[str, Mapping[str, bytes]]
    """By type and name."""
    versions: Mapping[str, Mapping[str, str]]
    """Discovery's versions, by type and name."""


def write(state: LastGood, source: str) -> bytes:
    """The octets of a file.

    Args:
        state: what to save.
        source: which control plane it came from.
    """
    plain = (
        FORMAT,
        source,
        state.saved_at,
        state.version,
        {type_url: dict(held) for type_url, held in state.octets.items()},
        {type_url: dict(held) for type_url, held in state.versions.items()},
    )
    return pack(plain)


def read(octets: bytes, source: str) -> LastGood:
    """What the octets of a file mean.

    Raises:
        PeerError: garbage, another format, or another control plane's.
    """
    match unpack(octets):
        case (str(form), str(origin), float(saved_at), int(version), held, versions):
            pass
        case _:
            raise LastGoodInvalidError("not a saved state")
    if form != FORMAT:
        raise LastGoodInvalidError("saved by another version of the program")
    if origin != source:
        raise LastGoodInvalidError(f"it came from {origin}, not from {source}")
    state = LastGood(saved_at, version, _octets(held), _versions(versions))
    for resources in state.octets.values():
        for resource in resources.values():
            decode_resource(resource)
    return state


def _octets(value: Packed) -> dict[str, dict[str, bytes]]:
    return {
        type_url: {
            name: octets
            for name, octets in _mapping(held).items()
            if isinstance(name, str) and isinstance(octets, bytes)
        }
        for type_url, held in _mapping(value).items()
        if isinstance(type_url, str)
    }


def _versions(value: Packed) -> dict[str, dict[str, str]]:
    return {
        type_url: {
            name: version
            for name, version in _mapping(held).items()
            if isinstance(name, str) and isinstance(version, str)
        }
        for type_url, held in _mapping(value).items()
        if isinstance(type_url, str)
    }


def _mapping(value: Packed) -> Mapping[Packed, Packed]:
    if not isinstance(value, Mapping):
        raise LastGoodInvalidError("not a saved state")
    return value


class Saver:
    """Keeps a folder's file up to date with the store."""

    def __init__(
        self,
        folder: Path,
        source: str,
        clock: Callable[[], float],
        again_s: float = AGAIN_S,
    ) -> None:
        """Nothing is read or written yet.

        Args:
            folder: made when it is not there; for root alone.
            source: which control plane the state comes from.
            clock: seconds since the epoch.
            again_s: when to try again what could not be written.
        """
        self._path = folder / FILE
        self._source, self._clock, self._again_s = source, clock, again_s

    async def load(self) -> LastGood | None:
        """What was saved, if it can be used.

        Cancellation: nothing changes.
        """
        try:
            return await trio.to_thread.run_sync(self._load_blocking)
        except FileNotFoundError:
            return None
        except (OSError, MeshError) as error:
            log.warning(
                "no last good state",
                extra={"code": "last_good_invalid", "path": str(self._path), "error": str(error)},
            )
            return None

    async def keep(
        self, store: Store, versions: Callable[[], Mapping[str, Mapping[str, str]]], bell: Bell
    ) -> None:
        """Save each change, some time after it.

        Cancellation: what is being written is written to its end.
        """
        saved = store.version
        while True:
            seen = bell.count
            patience_s = math.inf
            if store.version != saved:
                version = store.version
                state = LastGood(
                    self._clock(), version, store.octets(), _copied(versions(), store.types)
                )
                if await self._save(state):
                    saved = version
                else:
                    patience_s = self._again_s
                await trio.sleep(PAUSE_S)
            with trio.move_on_after(patience_s):
                await bell.wait_past(seen)

    async def _save(self, state: LastGood) -> bool:
        try:
            await trio.to_thread.run_sync(self._save_blocking, state)
        except OSError as error:
            log.error(  # noqa: TRY400 - the disk's fault, not ours: no traceback
                "the state is not saved",
                extra={"code": "last_good_unsaved", "path": str(self._path), "error": str(error)},
            )
            return False
        return True

    def _load_blocking(self) -> LastGood:
        return read(self._path.read_bytes(), self._source)

    def _save_blocking(self, state: LastGood) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(write(state, self._source))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError:
            new.unlink(missing_ok=True)  # half a file takes room that others need
            raise


def _copied(
    versions: Mapping[str, Mapping[str, str]], types: tuple[str, ...]
) -> dict[str, dict[str, str]]:
    return {type_url: dict(versions.get(type_url, {})) for type_url in types}
