"""The output options of ``geolulc map``."""

from __future__ import annotations

import click
from click.testing import CliRunner

from geolulc.cli.output_options import OutputOptions, output_options


@click.command()
@output_options
def shown(output: OutputOptions) -> None:
    click.echo(repr(output))


def test_output_options_arrive_as_one_value() -> None:
    runner = CliRunner()
    assert runner.invoke(shown).output.strip() == repr(OutputOptions())
    arguments = ["--outputs", "vectors, stac", "--report", "--dtype", "uint8", "--no-cells"]
    options = OutputOptions(("vectors", "stac", "report"), "uint8", "gpkg", cells=False)
    assert runner.invoke(shown, arguments).output.strip() == repr(options)
    result = runner.invoke(shown, ["--outputs", "vectors,maps"])
    assert result.exit_code == 2
    assert "'maps' is not of probabilities" in result.output
    assert runner.invoke(shown, ["--outputs", ","]).exit_code == 2
