"""A container's volumes as files of the machine, mounted into what the container sees."""

import os
from pathlib import Path

from mesh.model.fields import Part
from mesh.model.kubernetes import KubernetesObject
from sluice.lab.environment import volume_files
from sluice.lab.files import FileMount
from sluice.lab.home import Home
from sluice.lab.objects import Objects


def write_volumes(home: Home, pod: KubernetesObject, objects: Objects) -> dict[str, Path]:
    """Write a pod's volumes, each a folder; by the volume's name.

    Raises:
        PodRefusedError: a source that is not there.
        OSError: a full disk.
    """
    folders: dict[str, Path] = {}
    for volume in pod.at("spec").parts("volumes"):
        folder = home.volumes(pod.uid) / volume.text("name")
        folder.mkdir(parents=True, exist_ok=True)
        for path, octets in volume_files(volume, pod, objects).items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            rights = 0o600 if volume.has("secret") else 0o644
            with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, rights), "wb") as file:  # noqa: PTH123 - a descriptor, for the rights
                file.write(octets)
        folders[volume.text("name")] = folder
    return folders


def mounts_of(home: Home, container: Part, folders: dict[str, Path]) -> list[FileMount]:
    """Where a container wants its volumes, with places made for them on the machine.

    Raises:
        OSError: a place cannot be made.
    """
    mounts = []
    for mount in container.parts("volumeMounts"):
        source = folders[mount.text("name")] / mount.text("subPath")
        target = Path(mount.text("mountPath"))
        _make_place(home, target, is_folder=source.is_dir())
        mounts.append(FileMount(source, target, is_read_only=mount.flag("readOnly")))
    return mounts


def _make_place(home: Home, target: Path, *, is_folder: bool) -> None:
    # A mount needs something below it, and the machine's file system is all there is: what is made
    # is empty, and is written down first, so that `lab down` can take it away.
    missing = [path for path in (target, *target.parents) if not path.exists()]
    if not missing:
        return
    with home.made_folders.open("a") as notes:
        notes.writelines(f"{path}\n" for path in reversed(missing))
    if is_folder:
        target.mkdir(parents=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
