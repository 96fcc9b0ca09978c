"""The mesh tests of Gateway API's conformance suite, as rows, in one lab."""

from collections.abc import Iterator

import pytest

from tests.e2e.conformance import (
    rows_features,
    rows_frontends,
    rows_grpc,
    rows_headers,
    rows_matching,
    rows_redirects,
)
from tests.e2e.conformance.row import Row
from tests.e2e.conformance.runner import problems_of
from tests.e2e.conformance.world import WAYPOINT, WORLD
from tests.e2e.mesh import Lab, lab

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(180)]

ROWS = (
    *rows_matching.ROWS,
    *rows_headers.ROWS,
    *rows_redirects.ROWS,
    *rows_frontends.ROWS,
    *rows_grpc.ROWS,
    *rows_features.ROWS,
)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The world, without a waypoint."""
    manifest = tmp_path_factory.mktemp("conformance") / "world.yaml"
    manifest.write_text(WORLD)
    with lab("conformance", manifest) as made:
        yield made


@pytest.fixture(scope="module")
def mesh(bare: Lab) -> Lab:
    """The world, with a waypoint."""
    bare.must("apply", "-f", "-", given=WAYPOINT, seconds=60)  # longer than the lab itself waits
    return bare


def test_a_request_reaches_its_service_without_a_waypoint(bare: Lab) -> None:
    assert problems_of(bare, rows_matching.BASIC) == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_is_asked_comes_as_the_row_says(mesh: Lab, row: Row) -> None:
    if row.routes:
        mesh.apply(row.manifest)
    try:
        assert problems_of(mesh, row) == []
    finally:
        if row.routes:
            mesh.must("delete", "-f", "-", given=row.manifest)
