"""What can go wrong with a lab, for whoever types the command."""

from mesh.errors import ConfigError, MeshError, UnavailableError


class LabRefusedError(ConfigError):
    """The command asks for something that the lab does not do; nothing was changed."""

    code = "lab_refused"


class LabAbsentError(UnavailableError):
    """No lab of this name runs."""

    code = "lab_absent"

    def __init__(self, name: str) -> None:
        """Keep the lab's name."""
        super().__init__(f"no lab named {name!r} runs: `sluice lab up --name {name}` starts one")
        self.name = name


class LabFailedError(UnavailableError):
    """A lab could not be started, or died."""

    code = "lab_failed"


class ObjectAbsentError(UnavailableError):
    """An object that was asked for by name is not there."""

    code = "object_absent"


class PodRefusedError(UnavailableError):
    """A pod cannot be started just now; tried again."""

    code = "pod_refused"


def sentences(error: MeshError) -> tuple[str, ...]:
    """What to tell the user, a line each."""
    return error.problems if isinstance(error, ConfigError) else (str(error),)
