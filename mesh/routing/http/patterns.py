"""Regular expressions of routes and policies: RE2, in time linear in what is compared.

1. A pattern is compared with the whole value, as if it began with `^` and ended with `$`.
2. Its language is RE2's (github.com/google/re2/wiki/Syntax). Whatever POSIX calls an extended
   regular expression means the same here, but that a backslash keeps its force within brackets.
   There is no looking around and no back-reference: they have no linear time.
3. `.` is any character, a line's end too. A value that is not UTF-8 is read as Latin-1, so that no
   octet hides a request from a pattern like `.*`.
4. Memory is bounded: the text, the compiled program, and what matching may keep beside it.
"""

from dataclasses import dataclass, field
from typing import Final, Protocol

import re2

from mesh.errors import ConfigError

MAX_PATTERN_OCTETS: Final = 4096
MAX_PROGRAM: Final = 5_000
"""Instructions; `[a-z0-9-]{1,253}` takes some 500."""
MAX_MATCHER_OCTETS: Final = 1024 * 1024
BEGINNING_OCTETS: Final = 64
"""How much of a pattern's literal beginning is looked for."""


class PatternInvalidError(ConfigError):
    """A regular expression that RE2 does not take, or that is too large."""

    code = "pattern_invalid"

    def __init__(self, text: str, reason: str) -> None:
        """Keep the text, and what is wrong with it."""
        shown = text if len(text) <= 80 else f"{text[:77]}..."
        super().__init__((f"regular expression {shown!r}: {reason}",))
        self.text = text
        self.reason = reason


class _Program(Protocol):
    """What we use of a compiled expression."""

    def fullmatch(self, text: bytes) -> object | None: ...

    @property
    def programsize(self) -> int: ...

    def possiblematchrange(self, maxlen: int) -> tuple[bytes, bytes]: ...


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled regular expression; equal to another of the same text."""

    text: str
    beginning: bytes = field(compare=False)
    """Octets with which everything begins that it matches, perhaps none."""
    _program: _Program = field(compare=False, repr=False)

    def matches(self, value: bytes) -> bool:
        """Whether it matches the whole value."""
        if not value.isascii():
            value = _as_utf8(value)
        return self._program.fullmatch(value) is not None


def compile_pattern(text: str) -> Pattern:
    """Make a pattern of a regular expression.

    Raises:
        PatternInvalidError: it says what to mend.
    """
    try:
        octets = text.encode()
    except UnicodeEncodeError:
        raise PatternInvalidError(text, "not text; write characters that UTF-8 has") from None
    if len(octets) > MAX_PATTERN_OCTETS:
        raise PatternInvalidError(
            text, f"{len(octets)} octets; shorten it to {MAX_PATTERN_OCTETS} or split the rule"
        )
    try:
        program = _compile(octets)
    except re2.error as error:
        raise PatternInvalidError(text, _mend(str(error.args[0], "utf-8", "replace"))) from None
    if program.programsize > MAX_PROGRAM:
        raise PatternInvalidError(text, _too_large(f"{program.programsize} instructions"))
    return Pattern(text, _beginning(program), program)


def _compile(text: bytes) -> _Program:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.dot_nl = True
    options.max_mem = MAX_MATCHER_OCTETS
    program: _Program = re2.compile(text, options)
    return program


def _beginning(program: _Program) -> bytes:
    """What the least and the greatest text that it matches share, and so all between them."""
    try:
        least, greatest = program.possiblematchrange(BEGINNING_OCTETS)
    except re2.error:  # it can begin with anything
        return b""
    shared = 0
    for one, other in zip(least, greatest, strict=False):
        if one != other or one > 127:
            break
        shared += 1
    return least[:shared]


def _mend(said: str) -> str:
    """What to do about RE2's own words."""
    if "too large" in said or "repetition size" in said:
        return _too_large(said)
    if "perl operator" in said:
        return f"{said}; RE2 has no looking around and no atomic groups: match what is wanted"
    if "invalid escape" in said:
        return f"{said}; RE2 does not know this escape, and has no back-references"
    return f"{said}; see github.com/google/re2/wiki/Syntax"


def _too_large(said: str) -> str:
    return f"{said}, too large to compile; repeat less ({{n,m}} up to 1,000), or use + and *"


def _as_utf8(value: bytes) -> bytes:
    try:
        value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1").encode()
    return value
