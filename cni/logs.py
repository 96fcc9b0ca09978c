"""The agent's log: one line per event on standard output, as the node proxy writes them."""

import logging
import sys
from datetime import UTC, datetime
from typing import Final

from mesh.observe.access_log import plain_line

_STANDARD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class Line(logging.Formatter):
    """Time, level, scope, words and `extra` fields, separated by tabs."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows on lines of its own."""
        fields = [(n, v) for n, v in vars(record).items() if n not in _STANDARD_FIELDS]
        said = record.getMessage()
        words = plain_line(said, fields) if fields else said
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        line = f"{moment}\t{record.levelname.lower()}\t{record.name}\t{words}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(level: str) -> None:
    """Send this process's log to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Line())
    logging.basicConfig(level=level, handlers=[handler])
