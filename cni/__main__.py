"""The `sluice-cni-agent` program."""

import sys
from collections.abc import Iterator
from typing import Final

import trio

from cni import settings
from cni.app import alone, run
from mesh.errors import ConfigError, MeshError
from mesh.runtime import logs

EXIT_NOT_STARTED: Final = 1


def main() -> int:
    """Run until SIGTERM or SIGINT; 0 ended as asked, 1 could not run, 2 wrong use."""
    code = 0
    try:
        given = settings.parse(sys.argv[1:])
        logs.configure(given.log_level)
        with alone(given.run_dir):
            trio.run(run, given)
    except* MeshError as group:
        for problem in _problems(group):
            sys.stderr.write(f"sluice-cni-agent: {problem}\n")
        code = EXIT_NOT_STARTED
    return code


def _problems(group: BaseExceptionGroup[MeshError]) -> Iterator[str]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _problems(error)
        elif isinstance(error, ConfigError):
            yield from error.problems
        else:
            yield str(error)


if __name__ == "__main__":
    sys.exit(main())
