"""`r1`: its global options, and errors as one message with its remedy and exit code 1.

Only typer and rich are loaded here; every command imports what it needs when it is called.
"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from r1data import telemetry
from r1data.errors import R1Error

if TYPE_CHECKING:
    from r1data.settings import Settings
    from r1data.storage import Lake

LakeUrl = Annotated[
    str | None, typer.Option("--lake", help="root URL of the lake (default: R1_LAKE, else ./lake)", show_default=False)
]
RecipeName = Annotated[
    str, typer.Argument(help="a shipped recipe (demo, smoke, qwen-7b, deepseek-r1) or a .toml file", metavar="RECIPE")
]
RefName = Annotated[str, typer.Argument(help="a ref such as demo/cold_start; `r1 status` lists them", metavar="REF")]
RowId = Annotated[str, typer.Argument(help="a row's id, or its first six characters or more", metavar="ROW")]

app = typer.Typer(
    help="The DeepSeek-R1 recipe as a data pipeline. Start with: r1 plan demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@dataclass
class Options:
    """What was given before the command's name."""

    lake: str | None = None
    debug: bool = False


def main() -> None:
    """Run a command; the entry point of the `r1` script."""
    telemetry.off()
    options = Options()
    try:
        app(obj=options)
    except R1Error as e:
        if options.debug:
            raise
        print(f"error: {e}", file=sys.stderr)
        sys.exit(1)


@app.callback()
def global_options(
    context: typer.Context,
    lake: LakeUrl = None,
    debug: Annotated[bool, typer.Option("--debug", help="show the traceback of an error")] = False,
) -> None:
    """The DeepSeek-R1 recipe as a data pipeline. Start with: r1 plan demo."""
    context.obj.lake, context.obj.debug = lake, debug


def settings_of(context: typer.Context, lake: str | None) -> "Settings":
    """The settings, with the lake given after the command's name, before it, or in the environment."""
    from r1data.settings import Settings

    return Settings.from_environment(lake=lake or context.obj.lake)


def opened(context: typer.Context, lake: str | None) -> "Lake":
    """The lake that is meant."""
    from r1data.storage import Lake

    return Lake.open(settings_of(context, lake).lake)
