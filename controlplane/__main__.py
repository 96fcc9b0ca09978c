"""`sluice-control`: the control plane, and tokens for who calls it."""

import logging
import signal
import sys
import time
from typing import Final

import trio

from controlplane.app import run
from controlplane.log import configure
from controlplane.options import ServeOptions, TokenOptions, UsageError, parse
from controlplane.token_command import make_token
from mesh.errors import ConfigError, MeshError

FAILED: Final = 1
WRONG_USE: Final = 2

log = logging.getLogger("control")


def main() -> int:
    """Do what the command line says; the exit code."""
    code = 0
    try:
        _obey(parse(sys.argv[1:]))
    except* UsageError as group:
        _complain(group)
        code = WRONG_USE
    except* MeshError as group:
        _complain(group)
        code = FAILED
    return code


def _obey(options: ServeOptions | TokenOptions) -> None:
    match options:
        case TokenOptions():
            sys.stdout.write(make_token(options, time.time()) + "\n")
        case ServeOptions():
            configure(options.log_level)
            trio.run(_serve, options)


async def _serve(options: ServeOptions) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as services:
            services.start_soon(run, options)
            async for number in signals:
                extra = {"code": "stopping", "signal": signal.Signals(number).name}
                log.info("stopping", extra=extra)
                break
            services.cancel_scope.cancel()


def _complain(group: BaseExceptionGroup[MeshError]) -> None:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            _complain(error)
            continue
        for problem in error.problems if isinstance(error, ConfigError) else (str(error),):
            sys.stderr.write(f"sluice-control: {problem}\n")


if __name__ == "__main__":
    sys.exit(main())
