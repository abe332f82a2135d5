"""Options that several commands share, spelled once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

#: A path that is not checked by click: what is wrong with it is the library's to say (exit code 1).
PATH = click.Path(path_type=Path)


def json_option(command: F) -> F:
    """``--json``: the result as JSON on stdout, for machines."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")(
        command
    )


def overwrite_option(command: F) -> F:
    """``--overwrite``: replace what is there."""
    return click.option("--overwrite", is_flag=True, help="Replace what exists.")(command)


def quiet_option(command: F) -> F:
    """``--quiet``: no progress on stderr."""
    return click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")(command)


def device_option(command: F) -> F:
    """``--device``: where the network runs."""
    return click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="auto|cpu|cuda[:N]|mps",
        help="Where the network runs; auto takes a GPU where there is one.",
    )(command)
