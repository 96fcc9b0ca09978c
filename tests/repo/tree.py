"""What the repo tests read: the files of this tree, as git knows them."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ("mesh/proto", "sluice/lab/proto")
PACKAGES = ("mesh", "ztunnel", "waypoint", "cni", "controlplane", "sluice")


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that git tracks, relative to the root, sorted; deleted ones left out."""
    listed = subprocess.run(
        ["/usr/bin/env", "git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = (Path(name) for name in listed.split("\0") if name)
    return tuple(sorted(path for path in paths if (ROOT / path).is_file()))


def modules(*, generated: bool = False) -> Iterator[Path]:
    """The Python files of the packages; those in folders of generated code only when asked for."""
    for path in tracked():
        is_ours = path.suffix == ".py" and path.parts[0] in PACKAGES
        if is_ours and (generated or str(path.parent) not in GENERATED):
            yield path


def dotted(path: Path) -> str:
    """The import name of a module's path."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parsed(path: Path) -> ast.Module:
    """The syntax tree of one file."""
    return ast.parse((ROOT / path).read_text(), filename=str(path))


def imports(path: Path) -> Iterator[str]:
    """Every absolute dotted name that a module imports, at any depth of its code."""
    for node in ast.walk(parsed(path)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield from (f"{module}.{alias.name}" for alias in names)
            case _:
                pass
