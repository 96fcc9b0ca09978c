"""The control plane's log: one line per event on standard error."""

import logging
from datetime import UTC, datetime
from typing import Final

from mesh.observe.access_log import plain_line

_STANDARD: Final = frozenset(
    vars(logging.LogRecord("", 0, "", 0, "", (), None)).keys() | {"message", "asctime", "taskName"}
)


class Lines(logging.Formatter):
    """`TIME LEVEL SCOPE MESSAGE name=value ...`, separated by tabs."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; an error's traceback follows on lines of its own."""
        fields = [(name, value) for name, value in vars(record).items() if name not in _STANDARD]
        said = plain_line(record.getMessage(), fields) if fields else record.getMessage()
        time = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        line = f"{time}\t{record.levelname.lower()}\t{record.name}\t{said}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(level: str) -> None:
    """Send this process's log to standard error, from a level on (`debug`, `info` ...)."""
    handler = logging.StreamHandler()
    handler.setFormatter(Lines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
