"""The CORS filter of a route."""

import re
from typing import Final

from controlplane.translate.read_route_matches import METHODS
from controlplane.translate.route_fields import checked_header_name, number_at
from mesh.model.fields import Part
from mesh.model.routes import Cors

_ORIGIN: Final = re.compile(
    r"[a-z][a-z0-9+.-]*://(\*\.)?([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?",
    re.ASCII,
)
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_MAX_AGE_S: Final = 2**31 - 1


def cors_of(part: Part) -> Cors:
    """The filter.

    Raises:
        FieldInvalidError: an origin, method or header that is none.
    """
    methods = part.texts("allowMethods")
    for index, method in enumerate(methods):
        if method != "*" and method not in METHODS:
            mend = f"{method!r:.40} is no method: write {', '.join(METHODS)} or *"
            raise part.invalid(f"allowMethods[{index}]", mend)
    return Cors(
        origins=tuple(
            _origin(part, f"allowOrigins[{index}]", text)
            for index, text in enumerate(part.texts("allowOrigins"))
        ),
        methods=_alone(part, "allowMethods", methods),
        headers=_alone(part, "allowHeaders", _names(part, "allowHeaders")),
        expose=_alone(part, "exposeHeaders", _names(part, "exposeHeaders")),
        credentials=part.flag("allowCredentials"),
        max_age_s=number_at(part, "maxAge", 1, _MAX_AGE_S, 5),
    )


def _origin(part: Part, name: str, text: str) -> str:
    """An origin in the spelling that browsers send: lower case, without a usual port."""
    lower = text.lower()
    if lower == "*":
        return lower
    if not _ORIGIN.fullmatch(lower):
        mend = "is no origin: write *, https://shop.example or https://*.shop.example"
        raise part.invalid(name, f"{text!r:.60} {mend}")
    return lower.removesuffix(_DEFAULT_PORTS.get(lower.partition(":")[0], "\0"))


def _names(part: Part, name: str) -> list[str]:
    return [
        text if text == "*" else checked_header_name(part, f"{name}[{index}]", text)
        for index, text in enumerate(part.texts(name))
    ]


def _alone(part: Part, name: str, values: list[str]) -> tuple[str, ...]:
    if "*" in values and len(values) > 1:
        raise part.invalid(name, "has * and more: * stands alone")
    return tuple(dict.fromkeys(values))
