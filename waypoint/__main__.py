"""The `waypoint` program: the supervisor of a waypoint."""

import os
import sys

from mesh.errors import ConfigError
from mesh.runtime import logs
from mesh.runtime.processes.supervisor import (
    EXIT_NOT_STARTED,
    Supervisor,
    cores,
    raise_descriptor_limit,
)
from waypoint.config import Config
from waypoint.listening import listen

USAGE = """\
usage: waypoint [proxy]    carry the traffic of what is bound to a Gateway (settings: environment)
       waypoint version    print the version
       waypoint help       print this
"""
WRONG_USE = 2


def main() -> int:
    """Run until SIGTERM or SIGINT; 0 drained, 1 not started, 2 wrong use, 130 interrupted."""
    match sys.argv[1:]:
        case [] | ["proxy"]:
            return _proxy()
        case ["version"]:
            return _print_version()
        case ["help" | "--help" | "-h"]:
            sys.stdout.write(USAGE)
            return 0
        case _:
            sys.stderr.write(USAGE)
            return WRONG_USE


def _print_version() -> int:
    from importlib.metadata import version  # noqa: PLC0415 - who supervises pays no memory for it

    sys.stdout.write(version("sluice-mesh") + "\n")
    return 0


def _proxy() -> int:
    try:
        config = Config.from_env(os.environ)
        listen(config).close()  # what no worker could do is told before anything starts
    except ConfigError as error:
        for problem in error.problems:
            sys.stderr.write(f"waypoint: {problem}\n")
        return EXIT_NOT_STARTED
    logs.configure(config.log_levels, is_json=config.log_json)
    raise_descriptor_limit()
    return Supervisor("waypoint", config.workers.of(cores()), config.drain_s, os.environ).run()


if __name__ == "__main__":
    sys.exit(main())
