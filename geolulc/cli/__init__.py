"""The command line: parses, calls one function, prints. The only room that imports click.

One module a command, loaded when it is named; ``geolulc --help`` loads neither torch nor rasterio.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Any, Final

import click

from geolulc import __version__
from geolulc.cli.results import say, show_all_characters
from geolulc.errors import GeolulcError
from geolulc.process import Terminated, confine_gdal, tune_memory, unwound_by_sigterm
from geolulc.safe_texts import one_line

#: Command → its one line in ``geolulc --help``. The module ``geolulc.cli.NAME`` holds it.
COMMANDS: Final = {
    "prepare": "BigEarthNet archive → datadings store.",
    "train": "Store → checkpoint.",
    "evaluate": "Score a model on a store.",
    "benchmark-table": "The six models of the seed's table on a store.",
    "transfer": "Train in one region, test in another.",
    "map": "Sentinel-2 scene → land-cover map.",
    "mosaic": "Maps of many tiles and dates → one map.",
    "summarize": "Areas of a map's classes by zone.",
    "compare": "Two maps of one grid: what changed.",
    "sample": "Map → points to label: a probability sample.",
    "assess": "Map + reference points → accuracy and areas with confidence.",
    "models": "Models that are shipped or published: list, show, fetch.",
    "classes": "Nomenclatures, and their classes with codes and colours.",
    "export": "Model → ONNX.",
    "stac": "Model → STAC Item (MLM extension).",
    "info": "What a store, model, scene or map is.",
    "doctor": "What this installation consists of, and what is wrong with it.",
}


class _Stopped(SystemExit):
    """Ctrl-C came: exit code 130, as of a program that the signal ends."""


class _Commands(click.Group):
    """Loads a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"geolulc.cli.{cmd_name.replace('-', '_')}")
        command = module.command
        if not isinstance(command, click.Command):
            raise TypeError(f"{module.__name__}.command is not a command")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            vars(error)["message"] = one_line(error.message)  # it names values of any length
            raise
        except KeyboardInterrupt:  # click would call it a failure (1)
            raise _Stopped(128 + signal.SIGINT) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="geolulc")
def cli() -> None:
    """From a Sentinel-2 scene to a land-cover map, with models trained on BigEarthNet."""


def main() -> None:
    """Run the command line; exit codes stand in docs/machines.md.

    0 done; 1 bad input (one line on stderr); 2 wrong usage; 130 Ctrl-C; 143 SIGTERM.
    """
    show_all_characters()
    confine_gdal()
    tune_memory()
    try:
        with unwound_by_sigterm():
            cli(prog_name="geolulc")
    except GeolulcError as error:
        say(f"geolulc: {error}", err=True)
        sys.exit(1)
    except (_Stopped, Terminated):
        say("geolulc: stopped", err=True)
        raise
    except BrokenPipeError:
        # the reader of a pipe went away; nothing more can be said to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
