"""What is to be written into a status, given what stands there: merged, dated, decided not done.

1. Conditions are merged by type, and entries of `parents` and `ancestors` by who controls them: of
   others' nothing is changed.
2. A condition's time changes when its status does. Each says which generation it is about.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject
from mesh.model.names import GATEWAY_CONTROLLER

_BY_CONTROLLER: Final = {"parents": "parentRef", "ancestors": "ancestorRef"}
"""Lists that controllers share, and what an entry of one controller is about."""
_CONTROLLER: Final = "controllerName"


def merged_status(
    found: KubernetesObject, wanted: Mapping[str, Json], last: Mapping[str, Json], now: str
) -> dict[str, Json]:
    """The status to lay over an object's.

    Args:
        found: the object as it is, with what was laid over it before.
        wanted: what is to be said; conditions without time and generation.
        last: what this writer has laid over it before.
        now: the time as objects carry it.
    """
    generation = found.get("metadata", "generation")
    dated = _Dated(generation if isinstance(generation, int) else 0, now)
    result: dict[str, Json] = {}
    for name, value in wanted.items():
        present = found.get("status", name)
        if name == "conditions":
            own = _types(value) | _types(last.get("conditions"))
            others = [each for each in _mappings(present) if each.get("type") not in own]
            result[name] = [*others, *dated.conditions(value, present)]
        elif name in _BY_CONTROLLER:
            others = [each for each in _mappings(present) if not _is_ours(each)]
            ours = [each for each in _mappings(present) if _is_ours(each)]
            result[name] = [*others, *dated.entries(value, ours, _BY_CONTROLLER[name])]
        elif name == "listeners":
            result[name] = dated.entries(value, _mappings(present), "name")
        else:
            result[name] = value
    return result


def _types(conditions: Json) -> set[Json]:
    return {kind for each in _mappings(conditions) if isinstance(kind := each.get("type"), str)}


def _is_ours(entry: Mapping[str, Json]) -> bool:
    return entry.get(_CONTROLLER) == GATEWAY_CONTROLLER


def _mappings(value: Json) -> list[dict[str, Json]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


class _Dated:
    """Adds times and the generation."""

    def __init__(self, generation: int, now: str) -> None:
        self._generation, self._now = generation, now

    def conditions(self, wanted: Json, present: Json) -> Iterator[Json]:
        before = {str(each.get("type")): each for each in _mappings(present)}
        for each in _mappings(wanted):
            last = before.get(str(each.get("type")), {})
            since = last.get("lastTransitionTime")
            is_same = last.get("status") == each.get("status") and isinstance(since, str)
            yield {
                **each,
                "observedGeneration": self._generation,
                "lastTransitionTime": since if is_same else self._now,
            }

    def entries(self, wanted: Json, present: list[dict[str, Json]], about: str) -> list[Json]:
        """Entries with conditions of their own, each beside the present one about the same."""
        entries: list[Json] = []
        for each in _mappings(wanted):
            same = [one for one in present if one.get(about) == each.get(about)]
            conditions = self.conditions(
                each.get("conditions"), same[0].get("conditions") if same else None
            )
            entries.append({**each, "conditions": [*conditions]})
        return entries
