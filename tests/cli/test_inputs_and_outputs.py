"""No command can forget that an input is no output: each path is declared as one of the two."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from geolulc.cli import COMMANDS, cli
from geolulc.cli.options import OUTPUT, PATH, PATH_OR_TEXT, RESULT
from geolulc.errors import OutputError
from geolulc.ownership import being_read

#: What each command writes; all other paths are read.
OUTPUTS = {
    "prepare": {"store"},
    "label": {"out"},
    "train": {"run"},
    "evaluate": {"report", "predictions"},
    "benchmark-table": {"runs"},
    "transfer": {"out"},
    "map": {"out"},
    "mosaic": {"out"},
    "summarize": {"out"},
    "compare": {"out"},
    "export": {"out"},
    "stac": {"out"},
    "sample": {"out"},
    "assess": {"out"},
    "classes": {"out"},
    "fetch": {"out"},
    "search": {"out"},
    "models": set(),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_paths_are_inputs_or_outputs(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    paths = [p for p in command.params if isinstance(p.type, click.Path)]
    assert {p.name for p in paths if p.type in (OUTPUT, RESULT)} == OUTPUTS.get(name, set())
    assert all(p.type in (OUTPUT, PATH, PATH_OR_TEXT, RESULT) for p in paths)


def refused(folder: Path, *arguments: str) -> str:
    """What the command says that must not write; the files are as they were."""
    os.chdir(folder)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(OutputError) as caught:
        cli.main([*arguments, "--overwrite", "--overwrite"], standalone_mode=False)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert being_read() == ()
    return str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        "summarize m.tif --zones z.gpkg --out z.gpkg",
        "summarize m.tif --zones soft.gpkg --out z.gpkg",
        "compare m.tif n.tif --out n.tif",
        "compare m.tif n.tif --out soft.tif",
        "mosaic m.tif n.tif --out m.tif",
        "mosaic list.txt n.tif --out n.tif",
        "stac m.safetensors --out m.safetensors",
        "export m.safetensors --onnx m.safetensors",
        "evaluate m.safetensors s --report s",
        "evaluate m.safetensors s --predictions m.safetensors",
        "prepare s s",
        "prepare s/in s",
        "prepare s t --splits t",
        "map scene.SAFE --out z.tif --aoi z.gpkg",
        "map scene.SAFE --out z.tif --aoi soft.gpkg",
    ],
)
def test_an_input_is_never_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("s/in", "t", "scene.SAFE"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("m.tif", "n.tif", "z.gpkg", "m.safetensors", "s/in/x", "t/y", "list.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "soft.gpkg").symlink_to("z.gpkg")
    (tmp_path / "soft.tif").symlink_to(tmp_path / "n.tif")
    said = refused(tmp_path, *arguments.split())
    assert "this run reads" in said or "is no " in said
    assert "Give another path" in said
