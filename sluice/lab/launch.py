"""Starting a lab's keeper, and taking a lab away, whatever has become of it."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from controlplane.mesh_config import read_mesh_config
from mesh.runtime.netns import remove_netns
from sluice.lab.client import ask, is_running
from sluice.lab.errors import LabFailedError, LabRefusedError
from sluice.lab.home import LAB_VARIABLE, ROOT, Home
from sluice.lab.places import remove_places
from sluice.lab.processes import kill_lab
from sluice.lab.protocol import Request

DEFAULT_NODES: Final = 2
_PROGRAMS: Final = {"nft": "nftables", "iptables-restore": "iptables", "ipset": "ipset"}
_FEATURES: Final = {
    "/proc/sys/net/ipv6": "IPv6",
    "/proc/self/ns/net": "network namespaces",
    "/proc/self/ns/mnt": "mount namespaces",
}
_ROUNDS: Final = 10


def start(
    home: Home, nodes: int | None, *, has_mesh: bool, mesh_config: Path | None = None
) -> None:
    """Start a lab's keeper, unless it runs; what an earlier one has left is taken away first.

    Args:
        home: of the lab.
        nodes: how many, at most MAX_NODES; None: as many as the running lab has, or two.
        has_mesh: whether the programs of the mesh run in it.
        mesh_config: Istio's MeshConfig for the control plane.

    Raises:
        LabRefusedError: no root, something is missing on this machine, or the lab runs otherwise.
        MeshConfigInvalidError: the file cannot be used.
        LabFailedError: it could not start; says why.
    """
    _check_machine()
    if mesh_config is not None:
        read_mesh_config(mesh_config)
    with _alone():
        if is_running(home):
            _check_nodes(home, nodes)
            _check_config(home, mesh_config)
            return
        remove(home)
        if mesh_config is not None:
            home.folder.mkdir(parents=True)
            shutil.copyfile(mesh_config, home.mesh_config)
        _start_keeper(home, nodes or DEFAULT_NODES, has_mesh=has_mesh)


def _check_machine() -> None:
    if os.geteuid() != 0:
        problem = "a lab makes network namespaces: run it as root"
        raise LabRefusedError((problem,))
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = {package for name, package in _PROGRAMS.items() if not shutil.which(name, path=path)}
    problems = [f"this kernel has no {what}" for file, what in _FEATURES.items() if not _is(file)]
    if missing:
        problems.append(f"programs are missing: apt-get install {' '.join(sorted(missing))}")
    if problems:
        raise LabRefusedError(tuple(problems))


def _is(path: str) -> bool:
    return Path(path).exists()


def _check_nodes(home: Home, nodes: int | None) -> None:
    has = len(ask(home, Request(order="nodes")).out.split())
    if nodes not in (None, has):
        mend = f"the lab runs with {has}: `sluice lab down` first"
        raise LabRefusedError((f"--nodes {nodes}: {mend}",))


def _check_config(home: Home, mesh_config: Path | None) -> None:
    if mesh_config is None:
        return
    has = home.mesh_config.read_bytes() if home.mesh_config.exists() else None
    if mesh_config.read_bytes() != has:
        mend = "the lab runs with another: `sluice lab down` first"
        raise LabRefusedError((f"--mesh-config {mesh_config}: {mend}",))


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock of all labs: only one starts or goes at a time."""
    while True:
        ROOT.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(ROOT, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Whoever had it before may have removed the folder: then it is the lock of nothing.
            with suppress(FileNotFoundError):
                if ROOT.stat().st_ino == os.fstat(descriptor).st_ino:
                    yield
                    return
        finally:
            os.close(descriptor)


def _start_keeper(home: Home, nodes: int, *, has_mesh: bool) -> None:
    home.logs.mkdir(parents=True, exist_ok=True)
    readable, writable = os.pipe()
    words = [sys.executable, "-m", "sluice.lab.keeper", home.lab]
    words += ["--nodes", str(nodes), "--ready-fd", str(writable)]
    words += [] if has_mesh else ["--without-mesh"]
    path = os.environ.get("PATH", "")
    with home.log("keeper").open("ab") as log:
        subprocess.Popen(  # noqa: S603 - our own program
            words,
            env={**os.environ, LAB_VARIABLE: home.lab, "PATH": f"{path}:/usr/sbin:/sbin"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(writable,),
        )
    os.close(writable)
    with open(readable, "rb") as pipe:  # noqa: PTH123 - a descriptor
        said = pipe.read().decode(errors="replace")
    if said != "ready":
        reason = said or _last_lines(home.log("keeper"))
        remove(home)
        raise LabFailedError(f"lab {home.lab!r} did not start: {reason}")


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:])


def take_down(home: Home) -> bool:
    """Take a lab away; whether there was anything of it.

    Raises:
        LabRefusedError: no root.
        LabFailedError: something of it does not go.
    """
    if os.geteuid() != 0:
        raise LabRefusedError(("a lab's namespaces are root's: run it as root",))
    with _alone():
        found = remove(home)
        with suppress(OSError):
            ROOT.rmdir()  # other labs keep it
        return found


def remove(home: Home) -> bool:
    """Kill what runs, and remove namespaces, mounts and files; whether there was anything.

    Raises:
        LabFailedError: processes that are started faster than they are killed, or cannot die.
    """
    found = home.folder.exists() or bool(home.all_netns())
    for _ in range(_ROUNDS):
        if not kill_lab(home):
            break
        found = True
    else:
        raise LabFailedError(f"processes of lab {home.lab!r} do not die")
    for path in home.all_netns():
        remove_netns(path)
    remove_places(home)
    _detach_below(home.folder)
    shutil.rmtree(home.folder, ignore_errors=True)
    return found


def _detach_below(folder: Path) -> None:
    """Unmount what is mounted below a folder: nothing of ours is, unless something went wrong."""
    from mesh.runtime.mounts import detach  # noqa: PLC0415 - rarely needed

    for line in Path("/proc/self/mounts").read_text().splitlines():
        target = Path(line.split(" ")[1])
        if folder in target.parents:
            detach(target)
