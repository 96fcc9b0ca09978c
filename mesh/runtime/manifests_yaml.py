"""Manifest text to JSON values, document by document, so that one bad document spoils no other.

1. YAML as Kubernetes reads it: a timestamp stays a string, `10:20` is no number, keys are strings.
2. What JSON cannot say (a cycle, `.nan`, octets) is a problem of its document.
3. A document that names one part again and again by alias is measured as it would be written out:
   whoever prints or copies it must not run out of memory.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from mesh.model.fields import Json

MAX_VALUES = 10_000_000
"""Values in one document, aliases counted each time."""

MAX_DEPTH = 200
"""Lists and mappings inside each other; also what keeps the C parser from its stack's end."""

_DOCUMENT = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_NOTHING = re.compile(r"(?:\s*(?:---\s*)?(?:[#%].*)?(?:\n|$))*")


@dataclass(frozen=True, slots=True)
class Document:
    """One document; `problem` says why it has no value."""

    number: int
    value: Json = None
    problem: str = ""


class _Loader(yaml.CSafeLoader):
    """The C loader, which guesses fewer types."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in rows if not tag.endswith((":timestamp", ":int", ":float"))]
    for first, rows in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*[eE][-+]?[0-9]+|[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*"
        r"(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))$|\.(?:nan|NaN|NAN)$"
    ),
    list("-+0123456789."),
)


def documents(text: str) -> Iterator[Document]:
    """Each document with its number from 1; empty ones are left out but counted."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            value = _checked(json.loads(text))
            if "\\u" in text:
                json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
            yield Document(1, value)
        except (ValueError, RecursionError):
            pass  # flow-style YAML perhaps: read it as that, which also gives the better message
        else:
            return
    starts = [0, *(found.start() for found in _DOCUMENT.finditer(text) if found.start())]
    number = 0
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        chunk = text[start:end]
        if start == 0 and _NOTHING.fullmatch(chunk) and not _DOCUMENT.match(chunk):
            continue  # comments before the first marker are no document
        number += 1
        if not _NOTHING.fullmatch(chunk):
            yield _document(number, chunk, text.count("\n", 0, start))


def _document(number: int, chunk: str, lines_before: int) -> Document:
    try:
        first, *others = yaml.load_all(chunk, _Loader)
        if others:
            return Document(number, problem=": another follows after '...': put '---' before it")
        return Document(number, _checked(first))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f", line {lines_before + mark.line + 1}"
        reason = error.problem or error.context or "unreadable"
        return Document(number, problem=f"{where}: is not YAML ({reason}): mend the syntax")
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())
        return Document(number, problem=f": is not YAML ({reason}): mend the syntax")


def _checked(value: object) -> Json:
    """The value, if JSON can say it; its keys made strings in place."""
    sizes: dict[int, int] = {}
    return _json(value, sizes, 0)[0]


def _json(value: object, sizes: dict[int, int], depth: int) -> tuple[Json, int]:
    match value:
        case str() | bool() | int() | None:
            return value, 1
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{value} is not a number that JSON has")
            return value, 1
        case dict() | list():
            return _container(value, sizes, depth)
        case other:
            raise ValueError(f"a value of type {type(other).__name__}")


def _container(
    value: dict[Json, Json] | list[Json], sizes: dict[int, int], depth: int
) -> tuple[Json, int]:
    known = sizes.get(id(value))
    if known == 0:
        raise ValueError("an alias that contains itself")
    if known is None:
        if depth >= MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} levels")
        sizes[id(value)] = 0
        if isinstance(value, dict):
            _name_keys(value)
        children = value.values() if isinstance(value, dict) else value
        known = 1 + sum(_json(child, sizes, depth + 1)[1] for child in children)
        if known > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values, aliases counted")
        sizes[id(value)] = known
    return value, known  # type: ignore[return-value]  # its keys are strings by now


def _name_keys(mapping: dict[Json, Json]) -> None:
    for key in [key for key in mapping if not isinstance(key, str)]:
        if not isinstance(key, int | float):
            raise ValueError(f"a key that is {key!r} instead of a string")  # noqa: TRY004 - bad text
        text = str(key).lower() if isinstance(key, bool) else str(key)
        mapping[text] = mapping.pop(key)
