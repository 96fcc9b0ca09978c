"""The echo's process: `python -SEI .../echo/__main__.py echo-basic|echo-advanced [ARGUMENTS]`.

Run by its path and without site packages: there may be a hundred of these processes, and what only
one mode needs (HTTP/2, gRPC, TLS, WebSockets) is imported when somebody asks for it.
"""

import os
import sys

_MODULES = "SLUICE_ECHO_MODULES"
"""The variable with the folders of modules; the same as `sluice.lab.echo.settings.MODULES`."""


def main() -> None:
    """Serve for ever."""
    sys.path += os.environ.get(_MODULES, "").split(os.pathsep)
    from sluice.lab.echo.server import run  # noqa: PLC0415 - found by the path above only
    from sluice.lab.echo.settings import settings_of  # noqa: PLC0415 - the same

    try:
        run(settings_of(sys.argv[1:], os.environ), os.environ)
    except (OSError, ValueError) as error:
        sys.exit(f"echo: {error}")


if __name__ == "__main__":
    main()
