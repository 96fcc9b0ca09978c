"""Why a question cannot be answered."""

from typing import Final

from mesh.errors import ConfigError

NAME_UNKNOWN: Final = "name_unknown"
"""A name of the cluster's own domain that neither a service nor a pod has: nobody resolves it."""


class QuestionRefusedError(ConfigError):
    """`sluice why` was asked about something that is not there, or not in a way that it reads."""

    code = "why_refused"
