"""Where recordings of other programs lie: beside the checkout, never in it."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared(path: str) -> Path:
    """A file or folder of the shared data; the test fails when it is not there."""
    found = SHARED / path
    if not found.exists():
        pytest.fail(f"this test reads {found}, which is not there", pytrace=False)
    return found
