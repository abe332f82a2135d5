from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pystac
import pytest
import shapely
from made_map import SOUTHERN_TILE, TILE, made_map, save_map
from made_pixel_map import made_pixel_map
from pystac.errors import STACValidationError
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.mlm import MLMExtension
from pystac.extensions.projection import ProjectionExtension
from stac_fields import offline_validator

from geolulc.bands import GROUPS
from geolulc.errors import OutputError
from geolulc.grid import TileGrid
from geolulc.nomenclature import BEN19
from geolulc.outputs import SceneStory, save_model_item
from geolulc.outputs.stac import footprint


@pytest.fixture
def model(tmp_path: Path) -> dict[str, Any]:
    """What ``geolulc.nets.describe_model`` says."""
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "early.safetensors"
    path.write_bytes(b"weights")
    bands = {f"{r} m": list(names) for r, names in GROUPS.items()}
    every = [b for names in bands.values() for b in names]
    return {
        "kind": "model",
        "path": str(path),
        "name": "early-resnet18 (made)",
        "sha256": hashlib.sha256(b"weights").hexdigest(),
        "bytes": 7,
        "fusion": "early",
        "backbone": "resnet18",
        "parameters": 11_220_000,
        "bands": bands,
        "patch_size": 1200,
        "pixel_size": 10,
        "sensor": "sentinel2",
        "level": "L2A",
        "nomenclature": "ben19",
        "land_cover": BEN19.as_mapping(),
        "classes": list(BEN19.names),
        "normalisation": {"mean": dict.fromkeys(every, 500.0), "std": dict.fromkeys(every, 300.0)},
        "thresholds": dict.fromkeys(BEN19.names, 0.5),
        "temperature": 1.0,
        "provenance": {"train_patches": 50},
    }


def validate(path: Path) -> pystac.Item:
    """Against STAC's core and against every extension the Item names."""
    item = pystac.Item.from_file(path)
    document = json.loads(path.read_text())
    tested = item.validate(validator=offline_validator())
    assert len(tested) == 1 + len(document["stac_extensions"])
    return item


def test_the_item_of_a_map_is_valid_and_true(tmp_path: Path, model: dict[str, Any]) -> None:
    made = made_map()
    out = tmp_path / "map.tif"
    source = tmp_path / "scenes" / "S2B.SAFE.zip"
    paths = save_map(made, out, story=SceneStory(model, source), dtype="uint8")
    item = validate(paths["stac"])
    assert item.datetime.isoformat() == "2024-06-25T10:10:31+00:00"
    assert item.properties["platform"] == "sentinel-2b"
    projection = ProjectionExtension.ext(item)
    assert projection.code == "EPSG:32632"
    assert projection.shape == list(made.header.grid.shape)
    assert projection.transform == list(made.header.grid.transform)[:6]
    assert shapely.geometry.shape(item.geometry).is_valid
    for key, asset in item.assets.items():
        file = tmp_path / asset.href
        assert file == paths[key]
        extension = FileExtension.ext(asset)
        assert extension.size == file.stat().st_size
        assert extension.checksum == "1220" + hashlib.sha256(file.read_bytes()).hexdigest()
    assert {"probabilities", "classes", "presence", "uncertainty", "vectors", "picture"} == set(
        item.assets
    )
    classes = ClassificationExtension.ext(item.assets["classes"]).classes
    assert [(c.value, c.color_hint) for c in classes[1:]] == [
        (c.code, c.color[1:].upper()) for c in BEN19.classes
    ]
    bands = item.assets["probabilities"].extra_fields["bands"]
    assert [b["name"] for b in bands] == list(BEN19.names)
    assert {b["data_type"] for b in bands} == {"uint8"}
    assert {b["raster:scale"] for b in bands} == {0.004}
    links = {link.target: link for link in item.get_links("derived_from")}
    assert list(links) == ["./scenes/S2B.SAFE.zip", "./map_model.json"]


def test_the_item_of_a_map_of_pixels_is_valid_and_true(
    tmp_path: Path, model: dict[str, Any]
) -> None:
    made = made_pixel_map(TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 2_400, 1_800))
    paths = save_map(made, tmp_path / "map.tif", story=SceneStory(model), report=True)
    item = validate(paths["stac"])
    assert item.id.startswith("S2B_MSIL2A_20240625T101031_N0510_R022_T32TPS_20240625T151031_LC10_")
    assert item.properties["gsd"] == 10
    words = item.properties["description"]
    assert words.startswith("Class and probabilities of land cover in pixels of 10 m; ")
    assert ProjectionExtension.ext(item).shape == [180, 240]
    assets = item.assets
    assert set(assets) == {"classes", "confidence", "top3", "vectors", "picture", "report"}
    assert (assets["classes"].href, assets["classes"].title) == ("./map.tif", "Class of each pixel")
    assert assets["confidence"].title == "Probability of the class"
    assert assets["confidence"].extra_fields["bands"][0]["raster:scale"] == 0.004
    assert len(ClassificationExtension.ext(assets["classes"]).classes) == 20
    for part, asset in assets.items():
        assert asset.extra_fields["file:size"] == paths[part].stat().st_size
    links = [link.target for link in item.get_links("derived_from")]
    assert links == [f"./{made.header.scene['name']}.SAFE".removeprefix("./"), "./map_model.json"]


def test_the_item_of_a_model_is_valid_and_true(tmp_path: Path, model: dict[str, Any]) -> None:
    (tmp_path / "maps").mkdir()
    out = tmp_path / "maps" / "map.tif"
    paths = save_map(made_map(), out, "stac", story=SceneStory(model))
    item = validate(paths["stac.model"])
    mlm = MLMExtension.ext(item)
    assert mlm.mlm_name == "geolulc-early-resnet18-made"
    assert [i.name for i in mlm.input] == ["bands of 10 m", "bands of 20 m", "bands of 60 m"]
    assert [i.input.shape for i in mlm.input] == [
        [-1, 4, 120, 120], [-1, 6, 60, 60], [-1, 2, 20, 20],
    ]  # fmt: skip
    assert mlm.input[1].bands == list(GROUPS[20])
    assert mlm.input[2].to_dict()["value_scaling"][0] == {
        "type": "z-score", "mean": 500.0, "stddev": 300.0,
    }  # fmt: skip
    assert mlm.output[0].result.shape == [-1, 19]
    asset = item.assets["model"]
    assert asset.href == "../models/early.safetensors"
    assert (paths["stac.model"].parent / asset.href).resolve() == Path(model["path"])
    assert [b["name"] for b in item.properties["bands"]] == [
        b for names in GROUPS.values() for b in names
    ]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d["properties"].pop("bands"),
        lambda d: d["properties"].pop("mlm:output"),
        lambda d: d["properties"].update({"mlm:artifact_type": 7}),
        lambda d: d["properties"]["mlm:input"][0].pop("input"),
        lambda d: d["properties"]["mlm:input"][0]["value_scaling"][0].pop("mean"),
        lambda d: d["properties"]["mlm:output"][0]["tasks"].append("guessing"),
        lambda d: d["assets"]["model"]["roles"].remove("mlm:model"),
        lambda d: d["assets"]["model"].pop("mlm:artifact_type"),
        lambda d: d["assets"].clear(),
    ],
)
def test_a_model_item_needs_what_mlm_demands(
    tmp_path: Path, model: dict[str, Any], spoil: Callable[[dict[str, Any]], object]
) -> None:
    save_model_item(model, tmp_path / "model.json")
    document = json.loads((tmp_path / "model.json").read_text())
    spoil(document)
    with pytest.raises(STACValidationError):
        pystac.Item.from_dict(document).validate(validator=offline_validator())


def test_a_model_can_be_described_alone(tmp_path: Path, model: dict[str, Any]) -> None:
    out = tmp_path / "models" / "early.json"
    save_model_item(model, out)
    assert validate(out).assets["model"].href == "./early.safetensors"
    with pytest.raises(OutputError, match=r"early\.json.*exists"):
        save_model_item(model, out)


def test_a_model_of_pixels_is_a_segmentation(tmp_path: Path, model: dict[str, Any]) -> None:
    described = {k: v for k, v in model.items() if k != "thresholds"} | {"task": "pixel"}
    save_model_item(described, tmp_path / "pixels.json")
    mlm = MLMExtension.ext(validate(tmp_path / "pixels.json"))
    assert mlm.tasks == ["semantic-segmentation"]
    assert mlm.output[0].result.shape == [-1, 19, 120, 120]
    item = json.loads((tmp_path / "pixels.json").read_text())["properties"]
    assert "every pixel of 10 m of Sentinel-2 L2A patches of 1200 m" in item["description"]
    other = described | {"sensor": "made", "pixel_size": 30, "patch_size": 2880}
    save_model_item(other, tmp_path / "other.json")
    item = json.loads((tmp_path / "other.json").read_text())["properties"]
    assert "every pixel of 30 m of made patches of 2880 m" in item["description"]
    assert item["mlm:output"][0]["result"]["shape"] == [-1, 19, 96, 96]
    assert list(mlm.hyperparameters.to_dict()) == ["temperature", "training"]


@pytest.mark.parametrize("vector_format", ["parquet", "flatgeobuf"])
def test_other_vector_formats_are_assets_too(tmp_path: Path, vector_format: str) -> None:
    made, out = made_map(SOUTHERN_TILE), tmp_path / "map.tif"
    paths = save_map(made, out, "vectors", "stac", vector_format=vector_format)
    item = validate(paths["stac"])
    assert set(item.assets) == {"vectors", "vectors.cells", "vectors.summary"}


@pytest.mark.parametrize(
    ("field", "value"),
    [("proj:code", 32632), ("proj:datum", "WGS 84"), ("processing:software", "geolulc")],
)
def test_the_validator_refuses_what_the_specifications_refuse(
    tmp_path: Path, field: str, value: object
) -> None:
    paths = save_map(made_map(), tmp_path / "map.tif", "stac")
    document = json.loads(paths["stac"].read_text())
    document["properties"][field] = value
    with pytest.raises(STACValidationError):
        pystac.Item.from_dict(document).validate(validator=offline_validator())


def test_a_map_without_time_cannot_be_an_item(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"sensing time ''.*Leave stac out"):
        save_map(made_map(scene={"name": "x"}), tmp_path / "map.tif")
    assert list(tmp_path.iterdir()) == []
    save_map(made_map(scene={}), tmp_path / "map.tif", "probabilities")


def test_footprint_is_the_tile_in_degrees() -> None:
    geometry, box = footprint(TILE)
    polygon = shapely.geometry.shape(geometry)
    assert geometry["type"] == "Polygon"
    assert polygon.is_valid
    assert polygon.exterior.is_ccw
    assert tuple(box) == polygon.bounds
    assert 10 < box[0] < box[2] < 10.4
    assert 45 < box[1] < box[3] < 46.1


def test_footprint_across_the_180th_meridian_is_cut() -> None:
    geometry, box = footprint(TileGrid("EPSG:32701", 99_960.0, 8_100_040.0, 109_800, 109_800))
    west, east = shapely.geometry.shape(geometry).geoms
    assert west.bounds[2] == 180
    assert east.bounds[0] == -180
    assert box[0] > 0 > box[2]
    assert west.area + east.area < 2
