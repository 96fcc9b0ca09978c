"""`sluice-control`: the control plane, and tokens for who calls it."""

import sys
import time
from typing import Final

from controlplane.options import ServeOptions, TokenOptions, UsageError, parse
from controlplane.token_command import make_token
from controlplane.tokens import has_token_key
from mesh.errors import ConfigError, MeshError

FAILED: Final = 1
WRONG_USE: Final = 2


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
            if not has_token_key(options.state):
                made = f"a new key in {options.state}: only a control plane with this --state"
                sys.stderr.write(f"sluice-control: the token is signed by {made} believes it\n")
            sys.stdout.write(make_token(options, time.time()) + "\n")
        case ServeOptions():
            # A token must not cost the time that the server's libraries take to load.
            from controlplane.serve_command import serve  # noqa: PLC0415 - see above

            serve(options)


def _complain(group: BaseExceptionGroup[MeshError]) -> None:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            _complain(error)
            continue
        for problem in error.problems if isinstance(error, ConfigError) else (str(error),):
            sys.stderr.write(f"sluice-control: {problem}\n")


if __name__ == "__main__":
    sys.exit(main())
