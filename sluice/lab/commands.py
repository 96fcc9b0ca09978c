"""`sluice lab ...`: what people and scripts type. Data on stdout, words on stderr."""

import os
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from mesh.errors import MeshError
from sluice.lab.addresses import MAX_NODES
from sluice.lab.client import ask, obey
from sluice.lab.errors import LabRefusedError, sentences
from sluice.lab.home import Home
from sluice.lab.protocol import DONE, FAILED, Request

EXITS = "Exit code: 0 done, 1 failed or refused, 2 wrong use."
EXITS_WAITING = (
    "Exit code: 0 done and acknowledged by every proxy, 1 refused and nothing stored, 2 wrong use, "
    "3 done, but not acknowledged in time."
)
UP_SECONDS = 45.0
APPLY_SECONDS = 30.0

ParamsT = ParamSpec("ParamsT")
app = typer.Typer(
    help="A whole mesh on this machine: nodes and pods are network namespaces.",
    no_args_is_help=True,
    add_completion=False,
)


def _checked_name(name: str) -> str:
    try:
        return Home.of(name).lab
    except LabRefusedError as error:
        raise typer.BadParameter(str(error)) from error


Name = Annotated[
    str,
    typer.Option("--name", help="which lab, when there are several", callback=_checked_name),
]
Files = Annotated[
    list[Path] | None,
    typer.Option("--filename", "-f", help="a manifest, a folder of them, or - for stdin"),
]
Output = Annotated[str, typer.Option("--output", "-o", help="json or yaml")]
Seconds = Annotated[float, typer.Option("--timeout", help="seconds to wait")]


def exits(command: Callable[ParamsT, int]) -> Callable[ParamsT, None]:
    """Let a command end with the exit code that it returns, and print what went wrong."""

    @wraps(command)
    def run(*words: ParamsT.args, **options: ParamsT.kwargs) -> None:
        try:
            code = command(*words, **options)
        except MeshError as error:
            for sentence in sentences(error):
                print(f"error: {sentence}", file=sys.stderr)
            code = FAILED
        raise typer.Exit(code)

    return run


def read_texts(paths: list[Path] | None) -> tuple[tuple[str, str], ...]:
    """The manifests that the paths name: where each is from, and what it says.

    Raises:
        LabRefusedError: one of them cannot be read.
    """
    return tuple(text for path in paths or () for text in _of_path(path))


def _of_path(path: Path) -> Iterator[tuple[str, str]]:
    if str(path) == "-":
        yield "stdin", sys.stdin.read()
        return
    try:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix in {".yaml", ".yml", ".json"})
            for each in inside:
                yield str(each), each.read_text(encoding="utf-8")
            return
        yield str(path), path.read_text(encoding="utf-8")
    except OSError as error:
        where = error.filename or path
        mend = f"cannot be read ({error.strerror}): name a file or a folder that can"
        raise LabRefusedError((f"{where}: {mend}",)) from error
    except UnicodeDecodeError as error:
        raise LabRefusedError((f"{path}: is not UTF-8: save it as UTF-8",)) from error


@app.command(epilog=EXITS_WAITING)
@exits
def up(
    name: Name = "default",
    nodes: Annotated[
        int | None, typer.Option(help="how many; 2 when it starts", min=1, max=MAX_NODES)
    ] = None,
    files: Files = None,
    timeout: Seconds = UP_SECONDS,
    mesh_config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Istio's MeshConfig for the control plane")
    ] = None,
    without_mesh: Annotated[bool, typer.Option("--without-mesh", hidden=True)] = False,  # noqa: FBT002 - typer's way
) -> int:
    """Start a mesh, and return when everything is ready; one that runs only gets the manifests."""
    from sluice.lab.launch import start  # noqa: PLC0415 - most commands do without

    home = Home.of(name)
    texts = read_texts(files)
    start(home, nodes, has_mesh=not without_mesh, mesh_config=mesh_config)
    order = "apply" if texts else "wait"
    return obey(home, Request(order=order, texts=texts, seconds=timeout))


@app.command(epilog=EXITS_WAITING)
@exits
def apply(
    files: Files,
    name: Name = "default",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="do not wait for the proxies")] = False,  # noqa: FBT002 - typer's way
    timeout: Seconds = APPLY_SECONDS,
) -> int:
    """Create or update objects, and wait until every proxy has acknowledged it."""
    request = Request(
        order="apply", texts=read_texts(files), is_waiting=not no_wait, seconds=timeout
    )
    return obey(Home.of(name), request)


@app.command(epilog=EXITS_WAITING)
@exits
def delete(
    objects: Annotated[list[str] | None, typer.Argument(metavar="[KIND NS/NAME...]")] = None,
    files: Files = None,
    name: Name = "default",
    timeout: Seconds = APPLY_SECONDS,
) -> int:
    """Delete objects with all that they hold, and wait until they are gone."""
    if not objects and not files:
        raise typer.BadParameter("name a kind and an object, or give -f")
    texts = read_texts(files)
    request = Request(order="delete", words=tuple(objects or ()), texts=texts, seconds=timeout)
    return obey(Home.of(name), request)


@app.command(epilog=EXITS)
@exits
def get(
    kind: Annotated[str, typer.Argument(help="in any of kubectl's spellings")],
    which: Annotated[str, typer.Argument(metavar="[NS/NAME]")] = "",
    name: Name = "default",
    output: Output = "",
) -> int:
    """Print objects with their status; of all namespaces when none is named."""
    words = (kind, which, output) if which else (kind, output)
    return obey(Home.of(name), Request(order="get", words=words))


@app.command(
    epilog="Exit code: that of the command; 1 when the place is not there.",
    context_settings={"ignore_unknown_options": True},
)
@exits
def exec(  # noqa: A001 - the command's name
    place: Annotated[str, typer.Argument(help="NS/POD, NS/deploy/NAME, external, or a node")],
    command: Annotated[list[str], typer.Argument(metavar="-- CMD...")],
    name: Name = "default",
) -> int:
    """Run a command in a network namespace of the lab, with its standard input, no terminal."""
    from sluice.lab.enter import become  # noqa: PLC0415 - brings the C library's calls

    home = Home.of(name)
    reply = ask(home, Request(order="place", words=(place,)))
    if reply.exit_code != DONE:
        return FAILED
    return become(reply.place, command)


@app.command(epilog=EXITS)
@exits
def logs(
    component: Annotated[str, typer.Argument(help="control, agent@NODE, ztunnel@NODE or NS/POD")],
    name: Name = "default",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on with what comes")] = False,  # noqa: FBT002 - typer's way
) -> int:
    """Print everything that a component or a pod has said since the start."""
    reply = ask(Home.of(name), Request(order="log", words=(component,)))
    if reply.exit_code != DONE:
        return FAILED
    sys.stdout.flush()
    follows = ("-F",) if follow else ()
    return os.execvp("tail", ["tail", "-q", "-n", "+1", *follows, reply.place["log"]])  # noqa: S606, S607 - it knows how to follow


@app.command(epilog=EXITS)
@exits
def status(name: Name = "default", output: Output = "") -> int:
    """Print nodes, components, pods and gateways."""
    return obey(Home.of(name), Request(order="status", words=(output,)))


@app.command(epilog=EXITS)
@exits
def down(name: Name = "default") -> int:
    """Take a lab away, whatever state it is in: processes, namespaces, mounts and files."""
    from sluice.lab.launch import take_down  # noqa: PLC0415 - most commands do without

    home = Home.of(name)
    if not take_down(home):
        print(f"there was nothing of lab {name!r}", file=sys.stderr)
    return DONE
