"""A node proxy's `/config_dump`, ours or Istio's, read back into what that proxy knew.

It tells nothing of what waypoints do.
"""

import json
from typing import Final

from mesh.errors import ConfigError
from mesh.model.fields import Json
from mesh.model.policy import Authorization
from mesh.model.workload import Service, Workload
from sluice.why.errors import QuestionRefusedError
from sluice.why.known import Known, world_of
from ztunnel.control.local_state import parse

_SECTIONS: Final = ("workloads", "services", "policies")


def known_of_dump(text: str, name: str) -> Known:
    """What a proxy knew when it was asked.

    Args:
        text: the JSON of the page.
        name: where it is from, for the sentences.

    Raises:
        QuestionRefusedError: no such page, or something in it is not known here.
    """
    try:
        dump: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        mend = "give what a node proxy answers to /config_dump"
        raise QuestionRefusedError((f"{name}: is not JSON ({error}): {mend}",)) from error
    if not isinstance(dump, dict) or "workloads" not in dump:
        mend = "give what a node proxy answers to /config_dump"
        raise QuestionRefusedError((f"{name}: has no workloads: {mend}",))
    document: dict[str, Json] = {section: dump.get(section) or [] for section in _SECTIONS}
    document["workloads"] = _with_services(dump)
    document["services"] = [_without_endpoints(each) for each in _listed(dump, "services")]
    try:
        # JSON is YAML; the reader is the one of LOCAL_XDS, whose fields these are.
        found = parse(json.dumps(document), name).resources
    except ConfigError as error:
        raise QuestionRefusedError(error.problems) from error
    return Known(
        world=world_of(
            (each for each in found if isinstance(each, Workload)),
            (each for each in found if isinstance(each, Service)),
            (each for each in found if isinstance(each, Authorization)),
        ),
        has_waypoints=False,
    )


def _listed(dump: dict[str, Json], section: str) -> list[dict[str, Json]]:
    found = dump.get(section)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _without_endpoints(service: dict[str, Json]) -> Json:
    return {name: value for name, value in service.items() if name != "endpoints"}


def _with_services(dump: dict[str, Json]) -> list[Json]:
    """Workloads with the ports that they have in each service: the dump says so there."""
    served: dict[str, dict[str, Json]] = {}
    for service in _listed(dump, "services"):
        key = f"{service.get('namespace')}/{service.get('hostname')}"
        endpoints = service.get("endpoints")
        for uid, endpoint in endpoints.items() if isinstance(endpoints, dict) else ():
            if isinstance(endpoint, dict):
                served.setdefault(uid, {})[key] = endpoint.get("port")
    return [
        {**each, "services": {**served.get(str(each.get("uid")), {})}}
        for each in _listed(dump, "workloads")
    ]
