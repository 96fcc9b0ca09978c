"""Which images a lab has built in, and what it says about the others."""

from collections.abc import Iterator
from typing import Final

from mesh.model.fields import Part

_LATER_MODES: Final = ("GRPC_ECHO_SERVER", "UDP_ECHO_SERVER")
_LATER_VARIABLES: Final = (
    "TLS_SERVER_CERT", "TLS_SERVER_PRIVKEY", "TLS_SERVER_PRIV_KEY", "TLS_CLIENT_CACERTS",
)  # fmt: skip
_LATER: Final = "comes with the waypoints, and is not there yet: this echo speaks HTTP and TCP"


def _repository(image: str) -> str:
    """An image's name without registry's port, tag and digest."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def is_echo(image: str) -> bool:
    """Whether an image is the built-in echo server."""
    path = image.partition("@")[0]
    return _repository(image).endswith("echo-basic") or path.partition(":")[0] == "sluice/echo"


def image_problem(container: Part) -> Iterator[str]:
    """Why a container cannot run here: a sentence each."""
    image = container.text("image")
    if container.items("command"):
        return
    if is_echo(image):
        for variable in container.parts("env"):
            if variable.text("name") in (*_LATER_MODES, *_LATER_VARIABLES):
                yield from variable.invalid("name", f"{variable.text('name')} {_LATER}").problems
    elif _repository(image).endswith("echo-advanced"):
        mend = f"{image}: echo-advanced comes with the waypoints, and is not there yet"
        yield from container.invalid("image", mend).problems
    else:
        mend = (
            f"is missing: the lab has no images but echo-basic and sluice/echo, so {image!r} needs "
            "a command, which runs as a process of this machine"
        )
        yield from container.invalid("command", mend).problems
