"""Run every fuzz target for a while: `make fuzz`.

A target is a file `tests/fuzz/NAME.py` with `INVARIANT` in its docstring's first line and a
function `one_input(octets: bytes) -> None` that raises when the invariant is broken. Inputs are
mutations of the target's seeds (`SEEDS: tuple[bytes, ...]`) and of `tests/fuzz/corpus/NAME/*`; the
seed of the random numbers is printed, so that a find can be repeated. Coverage does not guide the
search: that would need atheris, which is not among the dependencies.
"""

import importlib.util
import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Final

FOLDER: Final = Path(__file__).parent.parent / "tests" / "fuzz"
INTERESTING: Final = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff")


def mutate(octets: bytes, chance: random.Random) -> bytes:
    """A neighbour of `octets`: some of it flipped, cut, doubled, replaced."""
    changed = bytearray(octets)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(5):
            case 0 if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at : at + chance.randrange(8)] = b""
            case 2:
                changed[at:at] = chance.choice(INTERESTING)
            case 3:
                changed[at:at] = changed[at : at + chance.randrange(64)]
            case _:
                changed[at:at] = chance.randbytes(chance.randrange(1, 16))
    return bytes(changed)


def hunt(
    one_input: Callable[[bytes], None], seeds: list[bytes], seconds: float, chance: random.Random
) -> tuple[int, bytes | None]:
    """Try until the time is over: how many inputs, and the one that broke the invariant."""
    ends = time.monotonic() + seconds
    tried = 0
    while time.monotonic() < ends:
        octets = mutate(chance.choice(seeds), chance)
        tried += 1
        try:
            one_input(octets)
        except Exception:  # noqa: BLE001 - a find is whatever the target lets out
            traceback.print_exc()
            return tried, octets
    return tried, None


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"fuzz_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Every target in turn; 1 when one of them found something."""
    seconds = float(os.environ.get("FUZZ_SECONDS", "10"))
    seed = int(os.environ.get("FUZZ_SEED", str(random.SystemRandom().randrange(1 << 32))))
    finds = 0
    targets = sorted(path for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    for path in targets:
        target = _load(path)
        corpus = [file.read_bytes() for file in sorted((FOLDER / "corpus" / path.stem).glob("*"))]
        seeds = [*getattr(target, "SEEDS", (b"",)), *corpus]
        tried, found = hunt(target.one_input, seeds, seconds, random.Random(seed))
        print(f"{path.stem}: {tried} inputs in {seconds:g} s (FUZZ_SEED={seed})", flush=True)
        if found is not None:
            finds += 1
            print(f"  broken by {found.hex()}")
    print(f"{len(targets)} targets, {finds} finds")
    return 1 if finds or not targets else 0


if __name__ == "__main__":
    sys.exit(main())
