"""The `sluice` command."""

import typer

from sluice import waypoint_commands
from sluice.lab import commands
from sluice.why import command as why_command

app = typer.Typer(
    help="An ambient service mesh: mutual TLS for every pod, no sidecar.",
    no_args_is_help=True,
    add_completion=False,
)
app.add_typer(commands.app, name="lab")
app.add_typer(waypoint_commands.app, name="waypoint")
app.command("why", epilog=why_command.EXITS)(why_command.why)


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as version_of  # noqa: PLC0415 - slow, and rarely asked

    print(version_of("sluice-mesh"))


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
