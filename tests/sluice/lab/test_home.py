"""Names of labs, and what is a lab's own."""

import pytest

from sluice.lab.errors import LabRefusedError
from sluice.lab.home import Home, pod_place


@pytest.mark.parametrize("name", ["", "A", "a/b", "-a", "a.b", "a" * 40, ".."])
def test_a_name_that_could_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(LabRefusedError, match="cannot be a lab's name"):
        Home.of(name)


def test_pods_with_dashes_do_not_share_a_namespace() -> None:
    assert pod_place("a-b", "c") != pod_place("a", "b-c")
