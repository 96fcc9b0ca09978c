"""What the status of a ServiceEntry says."""

from typing import Final

from controlplane.translate.conditions import condition
from controlplane.translate.facts import ServiceFacts
from controlplane.translate.store import Store
from mesh.model.address import format_ip
from mesh.model.fields import Json

MISSING: Final = "istio.io/WaypointMissing"
_NO_WAYPOINT: Final = "ServiceEntry will not apply until it is bound to a valid waypoint."


def entry_status(
    store: Store, facts: ServiceFacts, conditions: list[Json], *, has_waypoint: bool
) -> dict[str, Json]:
    """The status of a ServiceEntry: what it has been given, beside its conditions."""
    status: dict[str, Json] = {}
    if any(host.startswith("*") for host in facts.hosts) and not has_waypoint:
        reason = "NoWaypointForWildcardService"
        conditions = [*conditions, condition(MISSING, "True", reason, _NO_WAYPOINT)]
    if conditions:
        status["conditions"] = conditions
    given: list[Json] = [
        {"host": host, "value": format_ip(ip)}
        for host in facts.hosts
        for ip in store.allocations.of(facts.key, host)
    ]
    if given:
        status["addresses"] = given
    return status
