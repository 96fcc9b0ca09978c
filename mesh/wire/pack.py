"""msgpack, and nothing else of ours: values to octets and back.

1. Arrays come back as tuples, so that what was read can be a key and cannot be changed.
2. Whatever the octets are, the outcome is a value or a PackInvalidError.
"""

from collections.abc import Callable, Mapping

import msgpack

from mesh.errors import PeerError

Packed = (
    bool | int | float | str | bytes | tuple["Packed", ...] | Mapping["Packed", "Packed"] | None
)
"""What can be packed as it is, and what comes back."""

MAX_DEPTH_ERRORS = (ValueError, TypeError, RecursionError, msgpack.UnpackException)


class PackInvalidError(PeerError):
    """Octets that are not one msgpack value."""

    code = "pack_invalid"

    def __init__(self, reason: str) -> None:
        """Keep what msgpack said."""
        super().__init__(f"not one msgpack value: {reason}")
        self.reason = reason


def pack(value: object, default: Callable[[object], object] | None = None) -> bytes:
    """The octets of a value.

    Args:
        value: plain data; other objects are given to `default` first.
        default: makes plain data of an object that is not.
    """
    packed: bytes = msgpack.packb(value, default=default, use_bin_type=True)
    return packed


def unpack(octets: bytes) -> Packed:
    """The value that the octets mean.

    Raises:
        PackInvalidError: garbage, a part of a value, or something after it.
    """
    try:
        value: Packed = msgpack.unpackb(octets, use_list=False, strict_map_key=False, raw=False)
    except MAX_DEPTH_ERRORS as error:
        raise PackInvalidError(f"{type(error).__name__}: {error}") from None
    return value


def unpack_all(octets: bytes) -> tuple[Packed, ...]:
    """The values of which the octets are a sequence; none of none.

    Raises:
        PackInvalidError: garbage, or a part of a value at the end.
    """
    reader = msgpack.Unpacker(
        use_list=False, strict_map_key=False, raw=False, max_buffer_size=max(len(octets), 1)
    )
    values: list[Packed] = []
    end = 0
    try:
        reader.feed(octets)
        for value in reader:
            values.append(value)
            end = reader.tell()
    except MAX_DEPTH_ERRORS as error:
        raise PackInvalidError(f"{type(error).__name__}: {error}") from None
    if end != len(octets):
        raise PackInvalidError("a part of a value at the end")
    return tuple(values)
