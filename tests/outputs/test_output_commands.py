"""The options of ``geolulc map`` and ``geolulc mosaic`` that concern their files."""

from __future__ import annotations

import click
from click.testing import CliRunner

from geolulc.cli.output_options import OutputOptions, mosaic_output_options, output_options


@click.command()
@output_options
def shown(output: OutputOptions) -> None:
    click.echo(repr(output))


@click.command()
@mosaic_output_options
def shown_of_mosaic(output: OutputOptions) -> None:
    click.echo(repr(output))


def test_mosaics_have_outputs_of_their_own() -> None:
    arguments = ["--outputs", "observations,top3", "--min-area", "0.2"]
    options = OutputOptions(("observations", "top3"), min_area=0.2)
    assert CliRunner().invoke(shown_of_mosaic, arguments).output.strip() == repr(options)
    assert CliRunner().invoke(shown, arguments).exit_code == 2


def test_output_options_arrive_as_one_value() -> None:
    runner = CliRunner()
    assert runner.invoke(shown).output.strip() == repr(OutputOptions())
    arguments = ["--outputs", "vectors, stac", "--report", "--dtype", "uint8", "--no-cells"]
    options = OutputOptions(("vectors", "stac"), report=True, dtype="uint8", cells=False)
    assert runner.invoke(shown, arguments).output.strip() == repr(options)
    result = runner.invoke(shown, ["--outputs", "vectors,maps"])
    assert result.exit_code == 2
    assert "'maps' is not of probabilities" in result.output
    assert runner.invoke(shown, ["--outputs", ","]).exit_code == 2
