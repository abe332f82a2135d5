"""``geolulc doctor``: what an installation consists of, and what is wrong with it."""

from __future__ import annotations

import sys
from typing import Any

import click

from geolulc.cli.info import lines
from geolulc.cli.options import json_option
from geolulc.cli.results import print_result


@click.command("doctor")
@json_option
def command(as_json: bool) -> None:
    """Look at this installation, and say what is wrong with it.

    Prints the versions of geolulc, of its libraries and of GDAL with its drivers, the devices and
    the memory, the folders that models are kept in, and the models. Nothing is changed and no
    network is used. Exit code 1 says that there are problems. Put the text into reports of bugs.

    \b
    Examples:
        geolulc doctor
        geolulc doctor --json
    """
    from geolulc.diagnosis import diagnose

    found = diagnose()
    print_result(found, _text(found), as_json=as_json)
    if found["problems"]:
        sys.exit(1)


def _text(found: dict[str, Any]) -> str:
    problems = found["problems"]
    said = [f"problem: {problem}" for problem in problems] or ["no problems found"]
    facts = {name: value for name, value in found.items() if name != "problems"}
    return "\n".join([*lines(facts, indent=0), *said])
