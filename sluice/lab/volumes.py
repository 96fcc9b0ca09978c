"""A container's volumes as files of the machine, mounted into what the container sees."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import trio

from mesh.errors import MeshError
from mesh.model.fields import Part
from mesh.model.kubernetes import KubernetesObject
from sluice.lab.environment import volume_files
from sluice.lab.files import FileMount
from sluice.lab.home import Home
from sluice.lab.objects import Objects
from sluice.lab.places import make_place
from sluice.lab.tokens import SHORTEST_S, pod_token, write_private

log = logging.getLogger(__name__)


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
    _write_tokens(home, pod, objects)
    return folders


def _write_tokens(home: Home, pod: KubernetesObject, objects: Objects) -> None:
    for volume, wanted in _tokens_of(pod):
        path = home.volumes(pod.uid) / volume.text("name") / wanted.text("path")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, pod_token(home, pod, objects, wanted))


def _tokens_of(pod: KubernetesObject) -> Iterator[tuple[Part, Part]]:
    for volume in pod.at("spec").parts("volumes"):
        for source in volume.at("projected").parts("sources"):
            if source.has("serviceAccountToken"):
                yield volume, source.at("serviceAccountToken")


async def renew_tokens(home: Home, pod: KubernetesObject, objects: Objects) -> None:
    """Give a pod's containers new tokens in good time, for as long as they run.

    Cancellation: the last tokens stay.
    """
    lifetimes = [wanted.number("expirationSeconds", 3600) for _, wanted in _tokens_of(pod)]
    if not lifetimes:
        return
    while True:
        await trio.sleep(max(min(lifetimes), SHORTEST_S) / 2)
        try:
            await trio.to_thread.run_sync(_write_tokens, home, pod, objects)
        except (OSError, MeshError) as error:
            log.warning("tokens of %s: %s", pod.key, error)


def mounts_of(home: Home, container: Part, folders: dict[str, Path]) -> list[FileMount]:
    """Where a container wants its volumes, with places made for them on the machine.

    Raises:
        OSError: a place cannot be made.
    """
    mounts = []
    for mount in container.parts("volumeMounts"):
        source = folders[mount.text("name")] / mount.text("subPath")
        target = Path(mount.text("mountPath"))
        make_place(home, target, is_folder=source.is_dir())
        mounts.append(FileMount(source, target, is_read_only=mount.flag("readOnly")))
    return mounts
