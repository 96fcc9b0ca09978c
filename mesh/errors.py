"""What can go wrong, sorted by who must act.

1. Every leaf has a stable `code`: a log field, a metric label, a line in docs/reference/codes.md.
2. A leaf keeps its numbers as attributes; its text is for people.
3. Foreign exceptions become these at the seam where the foreign call is made.
"""

from typing import ClassVar


class MeshError(Exception):
    """Any failure that the mesh knows by name."""

    code: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        """Refuse a leaf without a code: direct children are kinds, all below are leaves."""
        super().__init_subclass__()
        if MeshError not in cls.__bases__ and "code" not in cls.__dict__:
            raise TypeError(f"{cls.__name__} needs a code")


class PeerError(MeshError):
    """The other side broke a rule: close the connection, count it."""


class DeniedError(MeshError):
    """A policy said no: expected, logged, never retried."""


class UnavailableError(MeshError):
    """Something is not there just now: may be tried again."""


class ConfigError(MeshError):
    """The operator must mend something; carries every problem at once."""

    code = "config_invalid"

    def __init__(self, problems: tuple[str, ...]) -> None:
        """Keep the problems, each a sentence that names the object, the field and the mend."""
        super().__init__("; ".join(problems))
        self.problems = problems
