"""What the agent is told on its command line."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mesh.errors import ConfigError

STATUS_PORT: Final = 15022
"""Metrics and readiness; next to the node proxy's ports, and nobody's else."""

ATTEST_S: Final = 5.0

DEFAULT_ROOT_NAMESPACE: Final = "istio-system"
ALWAYS_EXCLUDED: Final = ("kube-system", "sluice-system")
"""Namespaces whose pods never wait for the agent: the node needs some of them to start it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The agent's settings."""

    manifests: Path
    node: str
    net_dir: Path
    bin_dir: Path
    run_dir: Path
    zds_socket: Path
    root_namespace: str
    status_port: int
    attest_s: float
    dns_capture: bool
    log_level: str

    @property
    def excluded(self) -> tuple[str, ...]:
        """Namespaces that are never enrolled, and never wait."""
        return tuple(dict.fromkeys((*ALWAYS_EXCLUDED, self.root_namespace)))


def parse(arguments: Sequence[str]) -> Settings:
    """Read the command line; `--help` and a wrong use end the program.

    Raises:
        ConfigError: what is given cannot be done, all of it at once.
    """
    given = _parser().parse_args(arguments)
    problems = []
    if given.kubeconfig is not None:
        mend = "comes with the Kubernetes issue: give --manifests DIR"
        problems.append(f"--kubeconfig {given.kubeconfig}: {mend}")
    elif given.manifests is None:
        problems.append("--manifests: missing: give the folder of manifests")
    if not given.node:
        problems.append("--node: missing: give the name of this node")
    if problems:
        raise ConfigError(tuple(problems))
    return Settings(
        manifests=Path(given.manifests).absolute(),
        node=given.node,
        net_dir=given.cni_net_dir.absolute(),
        bin_dir=given.cni_bin_dir.absolute(),
        run_dir=given.run_dir.absolute(),
        zds_socket=given.zds_socket.absolute(),
        root_namespace=given.root_namespace,
        status_port=given.status_port,
        attest_s=given.attest_seconds,
        dns_capture=given.dns_capture == "true",
        log_level=given.log_level,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sluice-cni-agent",
        description="Enrols this node's pods: rules in their namespaces, and the proxy told.",
    )
    add = parser.add_argument
    add("--manifests", metavar="DIR", help="a folder of Kubernetes manifests, watched")
    add("--kubeconfig", metavar="F", help="a cluster (not there yet)")
    add("--node", metavar="N", default="", help="the name of this node")
    add("--cni-net-dir", metavar="DIR", type=Path, default=Path("/etc/cni/net.d"))
    add("--cni-bin-dir", metavar="DIR", type=Path, default=Path("/opt/cni/bin"))
    add("--run-dir", metavar="DIR", type=Path, default=Path("/var/run/sluice-cni"))
    add("--zds-socket", metavar="F", type=Path, default=Path("/var/run/ztunnel/ztunnel.sock"))
    add("--root-namespace", metavar="N", default=DEFAULT_ROOT_NAMESPACE)
    words = "metrics, /readyz and /healthz (default %(default)s)"
    add("--status-port", metavar="PORT", type=int, default=STATUS_PORT, help=words)
    words = "how often pods are looked at, at most (default %(default)s)"
    add("--attest-seconds", metavar="S", type=float, default=ATTEST_S, help=words)
    words = "whether pods' DNS queries go to the node proxy, too (default %(default)s)"
    add("--dns-capture", choices=("true", "false"), default="true", help=words)
    levels = ("debug", "info", "warning", "error")
    add("--log-level", choices=levels, default="info")
    return parser
