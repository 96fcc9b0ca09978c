"""A filter is a class: make one, call its hooks, look."""

import pytest

from examples.filters.tenant import Tenant
from waypoint.filter import Headers, Request, Response


@pytest.fixture
def tenant() -> Tenant:
    """The filter as a manifest would set it."""
    Tenant.config = {"plans": {"bakery": "gold"}}
    return Tenant()


def asked(*headers: tuple[str, str]) -> Request:
    """A request for the shop."""
    return Request("GET", "/", "shop", Headers(list(headers)))


def test_the_server_is_told_the_plan(tenant: Tenant) -> None:
    request = asked(("X-Tenant", "bakery"))
    assert tenant.request(request) is None
    assert request.headers["x-plan"] == "gold"


def test_a_client_cannot_choose_its_plan(tenant: Tenant) -> None:
    request = asked(("x-tenant", "bakery"), ("x-plan", "platinum"))
    tenant.request(request)
    assert request.headers.all("x-plan") == ["gold"]


@pytest.mark.parametrize(("headers", "status"), [((), 400), ((("x-tenant", "thief"),), 403)])
def test_strangers_are_refused(
    tenant: Tenant, headers: tuple[tuple[str, str], ...], status: int
) -> None:
    answer = tenant.request(asked(*headers))
    assert answer is not None
    assert answer.status == status


def test_caches_are_told_to_keep_tenants_apart(tenant: Tenant) -> None:
    response = Response(200, Headers([("vary", "accept")]))
    tenant.response(response)
    assert response.headers["vary"] == "accept, x-tenant"
