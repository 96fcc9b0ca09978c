"""Which images a lab has built in, and what it says about the others."""

from collections.abc import Iterator
from typing import Final

from mesh.model.fields import Part
from sluice.lab.echo.settings import ADVANCED, BASIC

_OWN: Final = "sluice/echo"
_WAYPOINT: Final = "sluice/waypoint"


def _repository(image: str) -> str:
    """An image's name without registry's port, tag and digest."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def image_name(image: str) -> str:
    """Which built-in image this is: BASIC, ADVANCED, or empty for none."""
    if _path(image) == _OWN:
        return BASIC
    return next((name for name in (BASIC, ADVANCED) if _repository(image).endswith(name)), "")


def _path(image: str) -> str:
    return image.partition("@")[0].partition(":")[0]


def is_waypoint(image: str) -> bool:
    """Whether an image is the waypoint program of this installation."""
    return _path(image) == _WAYPOINT


def is_echo(image: str) -> bool:
    """Whether an image is the built-in echo server."""
    return bool(image_name(image))


def image_problem(container: Part) -> Iterator[str]:
    """Why a container cannot run here: a sentence each."""
    image = container.text("image")
    if not container.items("command") and not (is_echo(image) or is_waypoint(image)):
        mend = (
            f"is missing: the lab has no images but {BASIC}, {ADVANCED} and {_OWN}, so {image!r} "
            "needs a command, which runs as a process of this machine"
        )
        yield from container.invalid("command", mend).problems
