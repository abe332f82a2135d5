"""How a command ends: its result on stdout, errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from geolulc.errors import GeolulcError


def print_result(result: Any, text: str, *, as_json: bool) -> None:
    """Print what a command found: ``result`` with ``--json``, else ``text``."""
    if as_json:
        text = json.dumps(result, indent=2, ensure_ascii=False)
    click.echo(text, nl=bool(text))


def exit_with_errors(errors: Sequence[GeolulcError | None], kind: str) -> None:
    """Print the errors of several pieces of work, None for a good one; exit with 1 if any failed.

    ``kind`` names the pieces: "scenes", "periods".
    """
    failed = [error for error in errors if error is not None]
    for error in failed:
        click.echo(f"geolulc: {error}", err=True)
    if failed:
        click.echo(f"geolulc: {len(failed)} of {len(errors)} {kind} failed", err=True)
        sys.exit(1)
