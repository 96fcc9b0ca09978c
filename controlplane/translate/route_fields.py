"""Fields of routes with the limits that the Gateway API gives them.

The API server checks most of this; a folder of manifests has nobody who did.
"""

import re
from collections.abc import Mapping
from enum import IntEnum
from typing import Final, TypeVar

from controlplane.translate.route_facts import Reason
from mesh.model.fields import FieldInvalidError, Part

_DURATION: Final = re.compile(r"([0-9]{1,5}(?:ms|h|m|s)){1,4}", re.ASCII)
_DURATION_PART: Final = re.compile(r"([0-9]+)(ms|h|m|s)", re.ASCII)
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256}", re.ASCII)
_PATH: Final = re.compile(r"(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*", re.ASCII)
_HOSTNAME: Final = re.compile(
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII
)
_UNSAFE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
MAX_PATH_LENGTH: Final = 1024
MAX_VALUE_LENGTH: Final = 4096
MAX_HOSTNAME_LENGTH: Final = 253

EnumT = TypeVar("EnumT", bound=IntEnum)


class FiltersIncompatibleError(FieldInvalidError):
    """Filters of a route that cannot be together in one rule."""

    code = "filters_incompatible"


def reason_of(error: FieldInvalidError) -> Reason:
    """What a status calls a value that cannot be."""
    if isinstance(error, FiltersIncompatibleError):
        return Reason.INCOMPATIBLE_FILTERS
    return Reason.UNSUPPORTED_VALUE


def incompatible(part: Part, name: str, mend: str) -> FiltersIncompatibleError:
    """The error that says which filters cannot be together; the caller raises it."""
    return FiltersIncompatibleError(part.subject, part.field(name), mend)


def seconds_at(part: Part, name: str) -> float | None:
    """A duration such as `1m30s`; None when the field is absent.

    Raises:
        FieldInvalidError: it is none.
    """
    if not part.has(name):
        return None
    text = part.text(name)
    if not _DURATION.fullmatch(text):
        raise part.invalid(name, f"{text!r:.60} is no duration: write one such as 500ms or 1m30s")
    return sum(int(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))


def member_at(part: Part, name: str, words: Mapping[str, EnumT], default: str) -> EnumT:
    """The member that a word means.

    Raises:
        FieldInvalidError: it means none.
    """
    word = part.text(name, default)
    if word not in words:
        raise part.invalid(name, f"{word!r:.60} is unknown here: write {' or '.join(words)}")
    return words[word]


def header_name_at(part: Part, name: str = "name") -> str:
    """The name of a header, in lower case.

    Raises:
        FieldInvalidError: it is none.
    """
    return checked_header_name(part, name, part.text(name))


def checked_header_name(part: Part, name: str, text: str) -> str:
    """A text from a field, which is the name of a header, in lower case.

    Raises:
        FieldInvalidError: it is none.
    """
    if not _TOKEN.fullmatch(text):
        raise part.invalid(name, f"{text!r:.60} is no header's name: letters, digits and -")
    return text.lower()


def value_at(part: Part, name: str = "value") -> str:
    """A value that a header may have; never empty.

    Raises:
        FieldInvalidError: it is none.
    """
    text = part.text(name)
    if not text or len(text) > MAX_VALUE_LENGTH or _UNSAFE.search(text):
        mend = f"must be 1 to {MAX_VALUE_LENGTH} characters without line ends"
        raise part.invalid(name, mend)
    return text


def path_at(part: Part, name: str, text: str) -> str:
    """A path that requests are compared with.

    Raises:
        FieldInvalidError: it is none that a request could have.
    """
    lower = text.lower()
    is_odd = any(bad in lower for bad in ("//", "/./", "/../", "%2f", "#"))
    if is_odd or lower.endswith(("/.", "/..")) or not text.startswith("/"):
        mend = "must begin with /, without //, /./, /../, %2f and #, and not end with /. or /.."
        raise part.invalid(name, f"{text!r:.60} {mend}")
    if len(text) > MAX_PATH_LENGTH or not _PATH.fullmatch(text):
        mend = f"must be at most {MAX_PATH_LENGTH} characters that a URL's path has"
        raise part.invalid(name, f"{text!r:.60} {mend}")
    return text


def hostname_at(part: Part, name: str) -> str:
    """A precise host name, in lower case; empty when the field is absent.

    Raises:
        FieldInvalidError: it is none.
    """
    text = part.text(name).lower()
    return checked_hostname(part, name, text) if part.has(name) else ""


def checked_hostname(part: Part, name: str, text: str, *, wildcard: bool = False) -> str:
    """A text from a field, which is a host name, in lower case.

    Raises:
        FieldInvalidError: it is none.
    """
    text = text.lower()
    bare = text.removeprefix("*.") if wildcard else text
    if len(text) > MAX_HOSTNAME_LENGTH or not _HOSTNAME.fullmatch(bare):
        raise part.invalid(name, f"{text!r:.60} is no host name: write one such as shop.example")
    return text


def number_at(part: Part, name: str, low: int, high: int, default: int = 0) -> int:
    """A whole number within limits.

    Raises:
        FieldInvalidError: it is none.
    """
    number = part.number(name, default)
    if part.has(name) and not low <= number <= high:
        raise part.invalid(name, f"{number} must be from {low} to {high}")
    return number


def at_most_one(part: Part, *names: str) -> str:
    """Which of these fields is there; empty when none is.

    Raises:
        FieldInvalidError: several are.
    """
    there = [name for name in names if part.has(name)]
    if len(there) > 1:
        raise part.invalid(there[1], f"cannot be beside {there[0]}: choose one")
    return there[0] if there else ""
