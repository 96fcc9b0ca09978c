"""Writing into a folder of manifests, and patches beside it (docs/reference/manifests.md).

Every file appears by rename, so that nobody reads half of one; a full disk leaves the old file.
"""

import errno
import json
import os
from collections.abc import Collection, Mapping
from hashlib import blake2b
from pathlib import Path
from urllib.parse import quote

from mesh.errors import UnavailableError
from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey

GENERATION = ".generation"
STATUS_SUFFIX = ".status"
MADE_SUFFIX = ".made"


class ManifestUnwritableError(UnavailableError):
    """A manifest, or a patch over one, cannot be written: a full disk, or no right."""

    code = "manifest_unwritable"

    def __init__(self, path: Path, reason: str) -> None:
        """Keep the file and the kernel's reason."""
        super().__init__(f"{path} cannot be written ({reason}); what it held before is still there")
        self.path, self.reason = path, reason


def status_folder(folder: Path) -> Path:
    """Where the patches over a folder's objects are."""
    return folder.with_name(folder.name + STATUS_SUFFIX)


def made_folder(folder: Path) -> Path:
    """Where the objects are that the control plane wants to be there beside a folder's."""
    return folder.with_name(folder.name + MADE_SUFFIX)


def write_generation(folder: Path, generation: int) -> None:
    """Say that everything of this generation has been written.

    Raises:
        ManifestUnwritableError: a full disk, or no right.
    """
    _write(folder / GENERATION, f"{generation}\n", 0o644)


def write_object(folder: Path, written: KubernetesObject) -> Path:
    """Put one object into a file of its own, in place of what was there under its key.

    Raises:
        ManifestUnwritableError: a full disk, or no right; the old file is still there.
    """
    path = _path_of(folder, written.key)
    rights = 0o600 if written.key.kind == "Secret" else 0o644
    _write(path, json.dumps(written.body, indent=1), rights)
    return path


def remove_object(folder: Path, key: ObjectKey) -> None:
    """Take away the file that `write_object` made for this key; none there is fine.

    Raises:
        ManifestUnwritableError: no right.
    """
    _remove(_path_of(folder, key))


class PatchWriter:
    """One program's merge patches over the objects of a folder that it does not own."""

    def __init__(self, folder: Path, writer: str) -> None:
        """Write as `writer` (`agent-NODE`, `control`): nobody else may write under that name."""
        self.folder = status_folder(folder) / writer
        self._written: dict[ObjectKey, str] = {}

    def put(self, key: ObjectKey, uid: str, patch: Mapping[str, Json]) -> bool:
        """Let this patch lie over the object, in place of the last; the same again is no work.

        Returns:
            Whether it is another than the last.

        Args:
            key: which object.
            uid: its `metadata.uid`, empty when it has none.
            patch: a JSON merge patch (RFC 7396).

        Raises:
            ManifestUnwritableError: a full disk, or no right; the last patch is still there.
        """
        named = {"kind": key.kind, "namespace": key.namespace, "name": key.name, "uid": uid}
        text = json.dumps({**named, "patch": patch}, indent=1, sort_keys=True)
        if self._last(key) == text:
            return False
        _write(_path_of(self.folder, key), text, 0o644)
        self._written[key] = text
        return True

    def last(self, key: ObjectKey) -> dict[str, Json]:
        """The patch that lies over an object now, of an earlier run too; empty when none does."""
        try:
            body = json.loads(self._last(key) or "{}")
        except (ValueError, RecursionError):
            return {}
        match body:
            case {"patch": dict(patch)}:
                return patch
            case _:
                return {}

    def _last(self, key: ObjectKey) -> str:
        """What is there, perhaps of an earlier run: a full disk must not keep its successor out."""
        if key not in self._written:
            try:
                self._written[key] = _path_of(self.folder, key).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                return ""
        return self._written[key]

    def remove(self, key: ObjectKey) -> None:
        """Take this writer's patch off the object; none there is fine.

        Raises:
            ManifestUnwritableError: no right.
        """
        _remove(_path_of(self.folder, key))
        self._written.pop(key, None)

    def retain(self, keys: Collection[ObjectKey]) -> None:
        """Take away every patch of this writer but those over `keys`, an earlier run's too.

        Raises:
            ManifestUnwritableError: no right.
        """
        kept = {_path_of(self.folder, key).name for key in keys}
        for path in self.folder.glob("*.json"):
            if path.name not in kept:
                _remove(path)
        self._written = {key: text for key, text in self._written.items() if key in keys}


class ObjectWriter:
    """The objects that one program wants to be there, a file each; whoever may applies them."""

    def __init__(self, folder: Path) -> None:
        """Write into this folder: nobody else may."""
        self.folder = folder
        self._written: dict[ObjectKey, KubernetesObject] = {}

    def put(self, wanted: KubernetesObject) -> bool:
        """Want an object as it is given; whether that is new.

        Raises:
            ManifestUnwritableError: a full disk, or no right; the last file is still there.
        """
        if self._written.get(wanted.key) == wanted:
            return False
        write_object(self.folder, wanted)
        self._written[wanted.key] = wanted
        return True

    def retain(self, keys: Collection[ObjectKey]) -> None:
        """Want nothing any more but the objects of `keys`, an earlier run's neither.

        Raises:
            ManifestUnwritableError: no right.
        """
        kept = {_path_of(self.folder, key).name for key in keys}
        for path in self.folder.glob("*.json"):
            if path.name not in kept:
                _remove(path)
        self._written = {key: each for key, each in self._written.items() if key in keys}


def _path_of(folder: Path, key: ObjectKey) -> Path:
    name = ".".join(quote(part, safe="") for part in (key.kind, key.namespace, key.name))
    if len(name) > 200:
        name = f"{name[:160]}.{blake2b(name.encode(), digest_size=16).hexdigest()}"
    return folder / f"{name}.json"


def _write(path: Path, text: str, rights: int) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, rights)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
        temporary.rename(path)
    except OSError as error:
        _remove_quietly(temporary)
        raise ManifestUnwritableError(path, error.strerror or str(error)) from error


def _remove_quietly(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # the first error is the one to tell


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        if error.errno != errno.ENOTDIR:
            raise ManifestUnwritableError(path, error.strerror or str(error)) from error
