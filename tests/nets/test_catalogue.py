"""Models by name: lists, cards, and clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from geolulc.cli.models import command
from geolulc.errors import CheckpointError
from geolulc.nets.catalogue import fetch_model, list_models, show_model
from geolulc.nets.shipped import shipped_models


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


def test_list_names_every_kind() -> None:
    rows = {row["name"]: row for row in list_models()}
    assert set(shipped_models()) <= set(rows)
    published = rows["BIFOLD-BigEarthNetv2-0/resnet50-s2-v0.2.0"]
    assert (published["bands"], published["classes"], published["where"]) == (10, 19, "hub")
    assert rows["torchgeo:resnet50_sentinel2_all_moco"]["bands"] == 13
    assert json.loads(json.dumps(list(rows.values()))) == list(rows.values())


def test_show_what_is_known_of_a_published_model() -> None:
    card = show_model("hackelle/rdnet_base-s2-v0.2.0")
    assert "AP macro 0.689" in card
    assert "geolulc models fetch hackelle/rdnet_base-s2-v0.2.0" in card


def test_unknown_names() -> None:
    with pytest.raises(CheckpointError, match="no model of that name is known"):
        show_model("nothing")
    with pytest.raises(CheckpointError, match="no model of that name is known"):
        fetch_model("nothing")


def test_fetching_offline_says_so() -> None:
    for name in (
        "BIFOLD-BigEarthNetv2-0/resnet18-s2-v0.2.0",
        "torchgeo:resnet50_sentinel2_all_moco",
    ):
        with pytest.raises(CheckpointError, match="the hub cannot be reached"):
            fetch_model(name)


def test_commands() -> None:
    listed = CliRunner().invoke(command, [], catch_exceptions=False)
    assert "BIFOLD-BigEarthNetv2-0/resnet50-s2-v0.2.0" in listed.stdout
    shown = CliRunner().invoke(
        command, ["show", "torchgeo:resnet18_sentinel2_all_moco"], catch_exceptions=False
    )
    assert "arXiv:2211.07044" in shown.stdout
