"""What the page of metrics (docs/reference/metrics.md) says, as values."""

import re
from typing import Final

from tests.repo.tree import ROOT

PAGE: Final = (ROOT / "docs" / "reference" / "metrics.md").read_text()
HERE, _, ABSENT = PAGE.partition("## Of Istio's ztunnel, and not here")
ROW: Final = re.compile(r"^\| `([a-z_]+)` \| (\w+) \|([^|]*)\| (.*) \|$", re.MULTILINE)


def families() -> dict[str, tuple[str, bool]]:
    """Kind, and whether it is unstable, by name."""
    return {name: (kind, "(unstable)" in words) for name, kind, _, words in ROW.findall(HERE)}


def labels(name: str) -> set[str]:
    """The labels that the page spells out for a metric."""
    return {
        label
        for found, _, written, _ in ROW.findall(HERE)
        if found == name
        for label in re.findall(r"`(\w+)`", written)
    }


def absent() -> set[str]:
    """Istio's, and not ours."""
    return set(re.findall(r"`([a-z_]+)`", ABSENT))
