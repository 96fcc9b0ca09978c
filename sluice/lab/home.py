"""Where a lab's things are: files, namespaces, names.

Everything of a lab lives below one folder, its namespaces have one prefix, and its processes carry
one variable: that is how `lab down` finds all of it, whatever was killed before.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mesh.runtime.manifests_write import made_folder
from sluice.lab.errors import LabRefusedError

ROOT: Final = Path("/run/sluice")
NETNS: Final = Path("/run/netns")
LAB_VARIABLE: Final = "SLUICE_LAB"
SYSTEM_NAMESPACE: Final = "istio-system"
PROXY_ACCOUNT: Final = "ztunnel"
"""The service account of the node proxies: the CA trusts it to ask for their pods."""

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
# No other lab's namespaces match: a lab's name has no dot, and none of these words continues.
_OWN: Final = r"(fabric|control|external|node-\d+|pod\.[a-z0-9.-]+)"


@dataclass(frozen=True, slots=True)
class NodeHome:
    """The folders of one node."""

    folder: Path

    @property
    def net_d(self) -> Path:
        """Network configurations, as /etc/cni/net.d of a node."""
        return self.folder / "net.d"

    @property
    def bin(self) -> Path:
        """Network plugins, as /opt/cni/bin of a node."""
        return self.folder / "bin"

    @property
    def run(self) -> Path:
        """The agent's own files."""
        return self.folder / "run"

    @property
    def zds_socket(self) -> Path:
        """Where agent and node proxy meet."""
        return self.folder / "ztunnel.sock"

    @property
    def ztunnel(self) -> Path:
        """The node proxy's last good state."""
        return self.folder / "ztunnel"

    @property
    def token(self) -> Path:
        """The node proxy's service-account token."""
        return self.folder / "istio-token"


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of one lab."""

    lab: str

    @classmethod
    def of(cls, name: str) -> "Home":
        """The paths of a lab by its name.

        Raises:
            LabRefusedError: not a name that a lab can have.
        """
        if not _NAME.fullmatch(name):
            mend = "use up to 32 lower-case letters, digits and dashes"
            raise LabRefusedError((f"{name!r} cannot be a lab's name: {mend}",))
        return cls(name)

    @property
    def folder(self) -> Path:
        """All files of the lab are below."""
        return ROOT / self.lab

    @property
    def socket(self) -> Path:
        """Where the keeper listens for commands."""
        return self.folder / "lab.sock"

    @property
    def manifests(self) -> Path:
        """The objects, a file each."""
        return self.folder / "manifests"

    @property
    def status(self) -> Path:
        """What others say about the objects, as patches."""
        return self.folder / "manifests.status"

    @property
    def made(self) -> Path:
        """What the control plane wants to be there."""
        return made_folder(self.manifests)

    @property
    def mesh_config(self) -> Path:
        """Istio's MeshConfig, when the lab was started with one."""
        return self.folder / "mesh-config.yaml"

    @property
    def state(self) -> Path:
        """The control plane's own files."""
        return self.folder / "state"

    @property
    def logs(self) -> Path:
        """A file for each component and pod."""
        return self.folder / "logs"

    @property
    def made_folders(self) -> Path:
        """The mount points that had to be made on the machine, to be removed at the end."""
        return self.folder / "made-folders"

    def log(self, component: str) -> Path:
        """The log of a component, or of `NS/POD`."""
        return self.logs / f"{component.replace('/', '.')}.log"

    def resolv_conf(self, place: str) -> Path:
        """The resolver's configuration of a namespace."""
        return self.folder / "resolv" / place

    def volumes(self, uid: str) -> Path:
        """The files of a pod's volumes."""
        return self.folder / "volumes" / uid

    def node(self, name: str) -> NodeHome:
        """The folders of a node."""
        return NodeHome(self.folder / "nodes" / name)

    def netns(self, place: str) -> Path:
        """The namespace of `fabric`, `control`, `external`, a node or a pod (`pod.NS.NAME`)."""
        return NETNS / f"sluice-{self.lab}-{place}"

    def all_netns(self) -> list[Path]:
        """Every namespace of this lab that is there."""
        own = re.compile(re.escape(f"sluice-{self.lab}-") + _OWN)
        if not NETNS.is_dir():
            return []
        return sorted(path for path in NETNS.iterdir() if own.fullmatch(path.name))


def pod_place(namespace: str, name: str) -> str:
    """The name of a pod's namespace; no namespace of Kubernetes has a dot, so it is one pod's."""
    return f"pod.{namespace}.{name}"


def proxy_pod_name(node: str) -> str:
    """The name of the pod that a node's proxy is."""
    return f"ztunnel-{node}"
