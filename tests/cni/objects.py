"""Objects for the deciders' tests."""

from collections.abc import Mapping

from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject


def made(
    kind: str,
    namespace: str,
    name: str,
    *,
    metadata: Mapping[str, Json] | None = None,
    spec: Mapping[str, Json] | None = None,
    status: Mapping[str, Json] | None = None,
) -> KubernetesObject:
    """An object."""
    return KubernetesObject.of(
        {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace, **(metadata or {})},
            "spec": dict(spec or {}),
            "status": dict(status or {}),
        }
    )
