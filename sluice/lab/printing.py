"""Objects and a lab's state as text: JSON, YAML, or columns for people."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import yaml

from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject
from sluice.lab.columns import Column, columns_after_age, columns_of
from sluice.lab.errors import LabRefusedError


def printed(objects: Sequence[KubernetesObject], how: str, now: float, *, is_list: bool) -> str:
    """Objects as `get` prints them.

    Args:
        objects: in order.
        how: `json`, `yaml`, `name`, or nothing for columns.
        now: seconds since 1970, for ages.
        is_list: whether one object is shown as a list of one.

    Raises:
        LabRefusedError: no such way.
    """
    body: Json
    if is_list:
        body = {"apiVersion": "v1", "kind": "List", "items": [each.body for each in objects]}
    else:
        body = objects[0].body
    match how:
        case "json":
            return json.dumps(body, indent=2) + "\n"
        case "yaml":
            text: str = yaml.safe_dump(body, sort_keys=False, allow_unicode=True)
            return text
        case "name":
            return "".join(f"{each.key.kind.lower()}/{each.key.name}\n" for each in objects)
        case "" | "wide":
            return columns(_rows(objects, now))
        case _:
            raise LabRefusedError((f"-o {how}: is json, yaml, name, or left out",))


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of words in aligned columns; the first row names them."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    padded = (
        "   ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join([*padded, ""])


def _rows(objects: Sequence[KubernetesObject], now: float) -> list[list[str]]:
    kind = objects[0].key.kind if objects else ""
    place = ["NAMESPACE"] if not objects or objects[0].key.namespace else []
    before, after = columns_of(kind), columns_after_age(kind)
    head = [*place, "NAME", *before, "AGE", *after]
    return [head, *(_row(each, before, after, now) for each in objects)]


def _row(
    found: KubernetesObject, before: Mapping[str, Column], after: Mapping[str, Column], now: float
) -> list[str]:
    place = [found.key.namespace] if found.key.namespace else []
    words = [read(found) for read in before.values()]
    return [
        *place,
        found.key.name,
        *words,
        _age(found, now),
        *(read(found) for read in after.values()),
    ]


def _age(found: KubernetesObject, now: float) -> str:
    try:
        born = datetime.fromisoformat(found.created).timestamp()
    except ValueError:
        return ""
    seconds = max(0, int(now - born))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def timestamp(seconds: float) -> str:
    """A time as objects carry it, a whole second."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
