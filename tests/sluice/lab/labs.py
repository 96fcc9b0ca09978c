"""A lab as its user sees it, without the programs of the mesh: quick to start."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COMMAND = (sys.executable, "-m", "sluice", "lab")
Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Lab:
    """A lab by name."""

    name: str

    def run(self, *words: str, given: str = "") -> Done:
        """`sluice lab WORDS --name NAME`, whatever comes of it."""
        order, *rest = words
        return subprocess.run(
            [*COMMAND, order, "--name", self.name, *rest],
            input=given,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    def must(self, *words: str, given: str = "") -> str:
        """The same, and it has to succeed: its standard output."""
        done = self.run(*words, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def apply(self, manifest: str) -> str:
        """Apply a manifest; what was said."""
        done = self.run("apply", "-f", "-", given=manifest)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def get(self, *words: str) -> dict[str, object]:
        """An object, or a list of them."""
        found: dict[str, object] = json.loads(self.must("get", *words, "-o", "json"))
        return found


@contextmanager
def running(name: str, *manifests: Path) -> Iterator[Lab]:
    """A lab of two nodes without a mesh, up and down again."""
    lab = Lab(name)
    files = [word for path in manifests for word in ("-f", str(path))]
    try:
        lab.must("up", "--without-mesh", *files)
        yield lab
    finally:
        lab.must("down")


def leftovers(name: str) -> list[str]:
    """Namespaces, processes, files and mounts of a lab."""
    found = [str(path) for path in Path("/run/netns").glob(f"sluice-{name}-*")]
    found += [str(path) for path in Path("/run/sluice").glob(f"{name}*")]
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found += [line for line in mounts if f"/run/sluice/{name}/" in line]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            carried = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"SLUICE_LAB={name}".encode() in carried:
            found.append(f"process {process.name}")
    return found
