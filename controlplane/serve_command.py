"""`sluice-control` as a service: until a signal ends it."""

import logging
import signal

import trio

from controlplane.app import run
from controlplane.options import ServeOptions
from mesh.runtime import logs

log = logging.getLogger("control")


def serve(options: ServeOptions) -> None:
    """Be the control plane until SIGTERM or SIGINT.

    Raises:
        ConfigError: alone or in a group: state, ports or files that the operator must mend.
    """
    logs.configure(options.log_level, descriptor=logs.STANDARD_ERROR)
    trio.run(_until_told, options)


async def _until_told(options: ServeOptions) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as services:
            services.start_soon(run, options)
            async for number in signals:
                extra = {"code": "stopping", "signal": signal.Signals(number).name}
                log.info("stopping", extra=extra)
                break
            services.cancel_scope.cancel()
