"""The annotation by which the control plane and people see that a pod is in the mesh."""

from collections.abc import Collection
from typing import Final

from cni.pods import Pod
from mesh.model.fields import Json
from mesh.model.names import REDIRECTION_ANNOTATION
from mesh.runtime.manifests_write import PatchWriter

ENABLED: Final = "enabled"
PENDING: Final = "pending"
"""It is to be in the mesh, and is not yet: the control plane takes it for a pod outside."""


class Annotations:
    """Patches over the pods of a folder of manifests. Its methods block on the disk for a moment.

    All raise ManifestUnwritableError when there is no space, or no right.
    """

    def __init__(self, writer: PatchWriter) -> None:
        """Write as the agent of a node."""
        self._writer = writer

    def put(self, pod: Pod, value: str) -> None:
        """Say how far a pod is in the mesh; the same again is no work."""
        patch: dict[str, Json] = {"metadata": {"annotations": {REDIRECTION_ANNOTATION: value}}}
        self._writer.put(pod.key, pod.object_uid, patch)

    def remove(self, pod: Pod) -> None:
        """Say that a pod is outside."""
        self._writer.remove(pod.key)

    def only(self, pods: Collection[Pod]) -> None:
        """Say that exactly these are in the mesh, whatever an earlier agent said."""
        self._writer.retain([pod.key for pod in pods])
        for pod in pods:
            self.put(pod, ENABLED)
