"""`sluice why`: what people and scripts type."""

import json
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from mesh.errors import MeshError
from sluice.lab.commands import Files, Name, read_texts
from sluice.lab.errors import sentences
from sluice.lab.home import Home
from sluice.lab.protocol import DONE, FAILED, WRONG_USE

EXITS: Final = (
    "Exit code: 0 it would pass, 1 it would be refused (or a part of it), 2 wrong use, an unknown "
    "source or destination, or a mesh that cannot be read."
)
Request = Annotated[
    str, typer.Option("--http", metavar="'METHOD /PATH'", help="the request that it carries")
]
Fields = Annotated[
    list[str] | None,
    typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="a field of the request"),
]
Dump = Annotated[
    Path | None,
    typer.Option(
        "--config-dump", metavar="FILE", help="a node proxy's /config_dump, ours or Istio's"
    ),
]


def why(  # noqa: PLR0913, PLR0917 - an argument for each word that is typed
    source: Annotated[str, typer.Argument(metavar="SRC", help="NS/POD, NS/deploy/NAME, an IP")],
    destination: Annotated[
        str, typer.Argument(metavar="DST[:PORT]", help="a service's host, NS/POD, an IP")
    ],
    http: Request = "",
    fields: Fields = None,
    files: Files = None,
    config_dump: Dump = None,
    is_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,  # noqa: FBT002 - typer's way
    name: Name = "default",
) -> None:
    """Say what would happen to a connection, hop by hop, and which rule decides.

    In the lab that runs; with -f in a mesh of these manifests alone; with --config-dump in what
    one node proxy knew.
    """
    try:
        code = _why(
            (source, destination), (http, fields or []), (files, config_dump, name), is_json=is_json
        )
    except MeshError as error:
        for sentence in sentences(error):
            print(f"error: {sentence}", file=sys.stderr)
        code = WRONG_USE
    raise typer.Exit(code)


def _why(
    ends: tuple[str, str],
    asked: tuple[str, list[str]],
    where: tuple[list[Path] | None, Path | None, str],
    *,
    is_json: bool,
) -> int:
    from sluice.why.answer import Verdict, answer_json  # noqa: PLC0415 - other commands do without
    from sluice.why.explain import explain  # noqa: PLC0415 - the same
    from sluice.why.printing import printed  # noqa: PLC0415 - the same
    from sluice.why.sources import known_from  # noqa: PLC0415 - the same
    from sluice.why.steps import ask_of  # noqa: PLC0415 - the same

    files, dump, name = where
    ask = ask_of(*asked)
    known = known_from(read_texts(files) if files else None, dump, Home.of(name))
    answer = explain(known, *ends, ask)
    if is_json:
        sys.stdout.write(json.dumps(answer_json(answer), indent=2) + "\n")
    else:
        sys.stdout.write(printed(answer))
        for problem in answer.problems:
            print(f"note: {problem}", file=sys.stderr)
    return DONE if answer.verdict is Verdict.PASSES else FAILED
