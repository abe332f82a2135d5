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
    "prepare": "Pack BigEarthNet archives into a store to train from.",
    "label": "Cut patches from scenes where your labels lie, into a store.",
    "train": "Train a network on a store.",
    "evaluate": "Score a model on the patches of a store.",
    "benchmark-table": "Train and score the six models of the published table.",
    "transfer": "Train in one region, test in another: whose labels to borrow.",
    "search": "List the Sentinel-2 products of a place and time.",
    "fetch": "Download Sentinel-2 products by name.",
    "map": "Make a land-cover map of a Sentinel-2 scene.",
    "mosaic": "Combine maps of many tiles and dates into one.",
    "summarize": "Add up the areas of a map's classes in zones.",
    "compare": "Show what differs between two maps of one place.",
    "sample": "Draw points of a map, for people to label.",
    "assess": "Estimate accuracy and areas of a map from labelled points.",
    "view": "Show a map in a browser.",
    "models": "List models, show their cards, download them.",
    "classes": "List nomenclatures, and their classes with codes and colours.",
    "export": "Write a model as ONNX, for other programs.",
    "stac": "Describe a model as a STAC Item.",
    "info": "Say what a file is: a store, model, scene or map.",
    "doctor": "Say what is installed, and what is wrong with it.",
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
    """Make land-cover maps of Sentinel-2 scenes, and say what they are worth.

    geolulc COMMAND --help explains a command.

    \b
    Examples:
        geolulc map S2B_MSIL2A_….SAFE --out map.tif
        geolulc sample map.tif --out points.gpkg
        geolulc assess map.tif --reference points.gpkg --out accuracy/
    """


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
