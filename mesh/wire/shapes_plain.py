"""The shapes of plain values: texts, numbers, octets, addresses, members of enumerations.

A writer is given what the annotation says: mypy has seen to that.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

from mesh.errors import PeerError
from mesh.model.address import AddressInvalidError, Ip, format_ip, ip_from_bytes
from mesh.model.fields import Json
from mesh.wire.pack import Packed


class ValueUnreadableError(PeerError):
    """Plain data that is no value of the type that it was to be."""

    code = "value_unreadable"

    def __init__(self, field: str, reason: str) -> None:
        """Keep the path of the field, and what is wrong there."""
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field, self.reason = field, reason


class Shape(Protocol):
    """How the values of one type are written, read and shown."""

    def write(self, value: object) -> Packed:
        """The plain data of a value of the type."""

    def read(self, data: Packed, where: str = "") -> object:
        """The value that plain data means; `where` is the path to it, for the error.

        Raises:
            ValueUnreadableError: it means none.
        """

    def show(self, value: object) -> Json:
        """The value as JSON for people; it is not read back."""


@dataclass(frozen=True, slots=True)
class PlainShape:
    """Values of exactly one type that msgpack knows."""

    kind: type[str | bool | int | bytes]
    words: str

    def write(self, value: object) -> Packed:
        """See `Shape`."""
        return value if isinstance(value, str | bool | int | bytes) else None

    def read(self, data: Packed, where: str = "") -> object:
        """See `Shape`."""
        if type(data) is not self.kind:
            raise ValueUnreadableError(where, f"not {self.words}")
        return sys.intern(data) if isinstance(data, str) else data

    def show(self, value: object) -> Json:
        """See `Shape`; octets in hexadecimal."""
        if isinstance(value, bytes):
            return value.hex()
        return value if isinstance(value, str | bool | int) else None


class NumberShape:
    """Finite numbers with a point."""

    def write(self, value: object) -> Packed:
        """See `Shape`."""
        return float(value) if isinstance(value, int | float) else None

    def read(self, data: Packed, where: str = "") -> object:
        """See `Shape`."""
        if not isinstance(data, float) or not math.isfinite(data):
            raise ValueUnreadableError(where, "not a finite number with a point")
        return data

    def show(self, value: object) -> Json:
        """See `Shape`."""
        return float(value) if isinstance(value, int | float) else None


class IpShape:
    """Addresses."""

    def write(self, value: object) -> Packed:
        """See `Shape`."""
        return value if isinstance(value, bytes) else None

    def read(self, data: Packed, where: str = "") -> object:
        """See `Shape`."""
        if not isinstance(data, bytes):
            raise ValueUnreadableError(where, "not octets")
        try:
            return ip_from_bytes(data)
        except AddressInvalidError as error:
            raise ValueUnreadableError(where, str(error)) from None

    def show(self, value: object) -> Json:
        """See `Shape`; as text."""
        return format_ip(Ip(value)) if isinstance(value, bytes) else None


@dataclass(frozen=True, slots=True)
class MemberShape:
    """Members of an enumeration, by their numbers."""

    name: str
    members: Mapping[int, IntEnum]

    def write(self, value: object) -> Packed:
        """See `Shape`."""
        return int(value) if isinstance(value, int) else None

    def read(self, data: Packed, where: str = "") -> object:
        """See `Shape`."""
        member = self.members.get(data) if type(data) is int else None
        if member is None:
            raise ValueUnreadableError(
                where, f"{str(data)[:40]} is no {self.name} that is known here"
            )
        return member

    def show(self, value: object) -> Json:
        """See `Shape`; by name."""
        return value.name if isinstance(value, IntEnum) else None


PLAIN: Final[Mapping[type, Shape]] = {
    str: PlainShape(str, "a text"),
    bool: PlainShape(bool, "true or false"),
    int: PlainShape(int, "a whole number"),
    bytes: PlainShape(bytes, "octets"),
    float: NumberShape(),
}
"""By the annotated type."""
