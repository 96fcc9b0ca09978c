"""The pods of the node that a runtime told us of, and their records for the agent's own restart.

A record is a file RUN_DIR/pods/UID.json, written by rename. It says what has been begun, before it
is done: what an agent that died in the middle left behind is finished by the next.
"""

import errno
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from mesh.errors import UnavailableError
from mesh.model.fields import FieldInvalidError, Json, Part
from mesh.model.kubernetes import ObjectKey
from mesh.redirection.rules import Capture
from mesh.runtime.netns import NetnsGoneError, netns_id, open_netns
from mesh.wire.feed import PodInfo

log = logging.getLogger(__name__)

_RIGHTS: Final = 0o600


class PodUnrememberedError(UnavailableError):
    """A pod's record cannot be written: a full disk, or no right."""

    code = "pod_unremembered"

    def __init__(self, path: Path, reason: str) -> None:
        """Keep the file and the kernel's reason."""
        super().__init__(f"{path}: {reason}; free some space, the pod is tried again")
        self.path, self.reason = path, reason


class Phase(Enum):
    """How far a pod is in the mesh."""

    FREE = "free"
    """Not at all."""
    ENROLLED = "enrolled"
    """It is, or is about to be: a proxy is to serve it, and its traffic is to be captured."""
    RELEASING = "releasing"
    """Nothing new is captured; the proxy still carries the connections that it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod."""

    uid: str
    namespace: str
    name: str
    account: str
    container: str
    """The runtime's id of the sandbox: the pod may get another one, with another namespace."""

    netns: str
    """The path of its network namespace."""
    netns_id: tuple[int, int]
    phase: Phase = Phase.FREE
    capture: Capture = field(default_factory=Capture)
    earlier: Mapping[str, int] | None = None
    """Connections from before the capture: their cookies, and the application's port of those that
    others opened (0: the application did). None: not counted yet."""

    @property
    def key(self) -> ObjectKey:
        """The pod's object."""
        return ObjectKey("Pod", self.namespace, self.name)

    @property
    def object_uid(self) -> str:
        """The uid that its object carries, empty when that has none."""
        return "" if self.uid == uid_without(self.namespace, self.name) else self.uid

    @property
    def info(self) -> PodInfo:
        """The pod for ZDS."""
        return PodInfo(self.uid, self.name, self.namespace, self.account)

    @property
    def is_served(self) -> bool:
        """Whether a proxy is to have it."""
        return self.phase is not Phase.FREE

    def is_gone(self) -> bool:
        """Whether its namespace is not at its path any more.

        Asked without a descriptor: that these have run out must not look as if pods had gone.
        """
        try:
            status = Path(self.netns).stat()
        except OSError as error:
            return error.errno in (errno.ENOENT, errno.ENOTDIR)
        return (status.st_dev, status.st_ino) != self.netns_id

    def open(self) -> int:
        """A descriptor of its namespace; the caller closes it.

        Raises:
            NetnsGoneError: it is not there any more, or another one stands at its path.
        """
        netns = open_netns(Path(self.netns))
        if netns_id(netns) != self.netns_id:
            os.close(netns)
            raise NetnsGoneError(self.netns, "another namespace than the pod's")
        return netns

    def to_json(self) -> dict[str, Json]:
        """The record."""
        links: list[Json] = list(self.capture.virtual_links)
        return {
            "uid": self.uid,
            "namespace": self.namespace,
            "name": self.name,
            "account": self.account,
            "container": self.container,
            "netns": self.netns,
            "netnsId": list(self.netns_id),
            "phase": self.phase.value,
            "inbound": self.capture.inbound,
            "virtualLinks": links,
            "dns": self.capture.dns,
            "earlier": None if self.earlier is None else dict(self.earlier),
        }

    @classmethod
    def from_json(cls, record: dict[str, Json], origin: str) -> Self:
        """Read a record.

        Raises:
            FieldInvalidError: a field has another type than we wrote.
        """
        part = Part(origin, "", record)
        ids = [each for each in part.items("netnsId") if isinstance(each, int)]
        phases = {each.value: each for each in Phase}
        phase = phases.get(part.text("phase"))
        if len(ids) != 2 or phase is None:
            raise part.invalid("phase", "is not what the agent writes")
        counted = part.at("earlier")
        return cls(
            uid=part.text("uid"),
            namespace=part.text("namespace"),
            name=part.text("name"),
            account=part.text("account"),
            container=part.text("container"),
            netns=part.text("netns"),
            netns_id=(ids[0], ids[1]),
            phase=phase,
            capture=Capture(
                inbound=part.flag("inbound", default=True),
                virtual_links=tuple(part.texts("virtualLinks")),
                dns=part.flag("dns", default=False),
            ),
            earlier={cookie: counted.number(cookie) for cookie in counted.body}
            if part.has("earlier")
            else None,
        )


def uid_without(namespace: str, name: str) -> str:
    """What tells a pod from others whose object has no uid: no uid of Kubernetes has a dot."""
    return f"{namespace}.{name}"


class Pods:
    """All records, in memory and on disk. Its methods block on the disk for a moment."""

    def __init__(self, folder: Path) -> None:
        """Remember nothing yet."""
        self._folder = folder
        self._pods: dict[str, Pod] = {}

    def __iter__(self) -> Iterator[Pod]:
        return iter(list(self._pods.values()))

    def get(self, uid: str) -> Pod | None:
        """The pod of a uid."""
        return self._pods.get(uid)

    def load(self) -> None:
        """Read what an earlier agent left; a record that cannot be read is told and left alone.

        Raises:
            PodUnrememberedError: there is no such folder, and it cannot be made.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise PodUnrememberedError(self._folder, error.strerror or str(error)) from error
        for path in sorted(self._folder.glob("*.json")):
            try:
                record = json.loads(path.read_text())
                pod = Pod.from_json(record if isinstance(record, dict) else {}, path.name)
            except (OSError, ValueError, FieldInvalidError) as error:
                log.warning("the record %s is not understood: %s", path, error)
                continue
            self._pods[pod.uid] = pod

    def put(self, pod: Pod) -> Pod:
        """Remember a pod as it is now, and return it.

        Raises:
            PodUnrememberedError: it cannot be written; what was remembered before still is.
        """
        if self._pods.get(pod.uid) == pod:
            return pod
        path = self._path(pod.uid)
        temporary = path.with_suffix(".new")
        try:
            temporary.write_text(json.dumps(pod.to_json()))
            temporary.chmod(_RIGHTS)
            temporary.replace(path)
        except OSError as error:
            raise PodUnrememberedError(path, error.strerror or str(error)) from error
        self._pods[pod.uid] = pod
        return pod

    def move(self, pod: Pod, phase: Phase) -> Pod:
        """Remember a pod in another phase.

        Raises:
            PodUnrememberedError: as `put`.
        """
        return self.put(replace(pod, phase=phase))

    def remove(self, uid: str) -> None:
        """Forget a pod; one that is not known is fine.

        Raises:
            PodUnrememberedError: the record cannot be taken away.
        """
        path = self._path(uid)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise PodUnrememberedError(path, error.strerror or str(error)) from error
        self._pods.pop(uid, None)

    def _path(self, uid: str) -> Path:
        return self._folder / f"{quote(uid, safe='')}.json"
