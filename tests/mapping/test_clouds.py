"""Clouds are not land: what is not clear is not mapped, and every reader of a map is told."""

from __future__ import annotations

import html
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from made_nets import make_net
from made_pixel_nets import Itself, make_pixel_model
from made_product import Means, flat_bands, make_model, make_product, random_bands

from geolulc.analysis import open_map
from geolulc.cli import cli
from geolulc.errors import ParameterError, ProductError
from geolulc.mapping import MapOptions, map_scenes, predict_scene
from geolulc.maps.areas import ground_areas
from geolulc.nets import Model, save_checkpoint
from geolulc.outputs import OutputOptions

CLOUD, LAND = 9, 4


def scl(cloud: float, size: int = 120) -> np.ndarray:
    """A scene classification of 20 m whose upper part, a share ``cloud``, is cloud."""
    codes = np.full((size, size), LAND, np.uint8)
    codes[: round(cloud * size)] = CLOUD
    return codes


@pytest.fixture(scope="module")
def model_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_checkpoint(path, Model(make_net().eval(), name="small"))
    return path


def run(*arguments: object):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.mark.parametrize("options", [{}, {"stride": 600}, {"stride": 600, "overlap": "shared"}])
def test_cells_that_are_not_clear_have_no_data(tmp_path, options):
    product = make_product(tmp_path, random_bands(), scl=scl(0.4))
    model = Model(make_net().eval())
    found = predict_scene(product, model, device="cpu", **options)
    mapped = np.isfinite(found.block.probabilities[0])
    np.testing.assert_array_equal(mapped, found.block.clear >= 0.5)
    assert 0 < mapped.sum() < mapped.size
    assert found.header.min_clear == 0.5
    # what is mapped is as it was
    everything = predict_scene(product, model, device="cpu", min_clear=0, **options)
    assert np.isfinite(everything.block.probabilities).all()
    np.testing.assert_allclose(
        found.block.probabilities[:, mapped], everything.block.probabilities[:, mapped], atol=1e-6
    )


def test_cells_inside_patches(tmp_path):
    """A patch that is hidden says nothing, and a hidden cell of a clear patch is not guessed."""
    product = make_product(tmp_path, random_bands(), scl=scl(0.4))  # 960 of 2,400 m
    found = predict_scene(product, Model(make_net().eval()), device="cpu", resolution=80)
    mapped = np.isfinite(found.block.probabilities[0])
    assert not mapped[:15].any()  # the upper patches are a fifth clear
    assert mapped[15:].all()
    thin = make_product(tmp_path / "thin", random_bands(), scl=scl(0.2))
    found = predict_scene(thin, Model(make_net().eval()), device="cpu", resolution=80)
    mapped = np.isfinite(found.block.probabilities[0])
    assert not mapped[:6].any()
    assert mapped[6:].all()


def test_min_clear_is_a_share():
    with pytest.raises(ParameterError, match=r"min-clear: found 1\.5"):
        MapOptions(min_clear=1.5)


@pytest.mark.parametrize(
    ("model", "unit"),
    [(make_model(Means()), "cell"), (make_pixel_model(Itself()), "pixel")],
    ids=["cells", "pixels"],
)
def test_an_overcast_scene_is_an_error(tmp_path, model, unit):
    product = make_product(tmp_path, scl=scl(1))
    with pytest.raises(ProductError, match=f"no {unit} with enough ground"):
        map_scenes([product], tmp_path / "map.tif", [model], MapOptions(device="cpu"),
                   output=OutputOptions())  # fmt: skip
    assert not list(tmp_path.glob("*map*"))
    allowed = MapOptions(device="cpu", allow_empty=True)
    map_scenes([product], tmp_path / "map.tif", [model], allowed, output=OutputOptions())
    with open_map(tmp_path / "map.tif") as written:
        assert float(written.tags["MAPPED_AREA_HA"]) == 0
        assert written.cautions[0].text == f"No {unit} of this map has data."


def test_an_overcast_scene_on_the_command_line(tmp_path, model_file):
    overcast = make_product(tmp_path, flat_bands(), scl=scl(1))
    call = ("map", overcast, "-m", model_file, "--device", "cpu", "-q")
    result = run(*call, "-o", tmp_path / "map.tif")
    assert isinstance(result.exception, ProductError)
    assert "--allow-empty" in str(result.exception)
    assert "\n" not in str(result.exception)
    # of several scenes, the others are mapped
    clear = make_product(tmp_path, flat_bands(), scl=scl(0), tile="32TQS")
    result = run(*call[:2], clear, *call[2:], "-o", tmp_path / "maps", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert "no cell with enough ground" in told[0]["error"]
    assert told[1]["error"] is None
    result = run(*call, "-o", tmp_path / "map.tif", "--allow-empty")
    assert result.exit_code == 0, result.output


def test_every_reader_of_a_cloudy_map_is_told(tmp_path, model_file):
    """On the terminal, in --json, info, tags, page and Item, and areas are without clouds."""
    product = make_product(tmp_path, random_bands(), scl=scl(0.4))
    out = tmp_path / "map.tif"
    result = run(
        "map", product, "-m", model_file, "-o", out, "--device", "cpu", "--report", "--json"
    )
    assert result.exit_code == 0, result.output
    (told,) = json.loads(result.stdout)
    said = "50.0% of the cells have no data, because less than 50% of their ground is clear."
    assert said in told["cautions"][0]
    for text in told["cautions"]:
        assert result.stderr.count(f"geolulc: caution: {text}\n") == 1
        assert text in html.unescape((tmp_path / "map.html").read_text())
    item = json.loads((tmp_path / "map.json").read_text())
    assert item["properties"]["geolulc:cautions"] == told["cautions"]
    for raster in tmp_path.glob("map*.tif"):
        with rasterio.open(raster) as dataset:
            tag = json.loads(dataset.tags()["CAUTIONS"])
        assert [caution["text"] for caution in tag] == told["cautions"]
        assert json.loads(run("info", raster, "--json").stdout)["cautions"] == told["cautions"]
    with open_map(out) as written:
        lower = ground_areas(written.header.grid, written.header.unit.areas, slice(1, 2))
        areas = json.loads(written.tags["AREA_HA_BY_CLASS"])
        assert sum(areas.values()) == pytest.approx(lower.sum())


def test_a_scene_that_is_mostly_cloud_says_so(tmp_path, model_file):
    codes = scl(0.5)
    codes[60:, :60] = CLOUD
    product = make_product(tmp_path, random_bands(), scl=codes)
    result = run("map", product, "-m", model_file, "-o", tmp_path / "m.tif", "--device", "cpu")
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stderr.splitlines() if "cloud" in line]
    assert "The scene is mostly cloud: 75.0% of the cells have no data" in line


def test_many_scenes_say_each_kind_once(tmp_path, model_file):
    scenes = [
        make_product(tmp_path, random_bands(), scl=scl(cloud), tile=f"32T{letter}S")
        for letter, cloud in zip("PQR", (0.4, 0, 0.1), strict=True)
    ]
    result = run("map", *scenes, "-m", model_file, "-o", tmp_path / "maps", "--device", "cpu", "-q")
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stderr.splitlines() if "caution" in line]
    assert len(lines) == 3  # clouds, doubt, and an unknown training
    assert lines[0].endswith("ground is clear. (2 of 3 maps: geolulc info MAP)")
    assert lines[2] == "geolulc: caution: How the model was trained is not known."


@pytest.mark.parametrize("options", [("--mask-scl", "none"), ()])
@pytest.mark.parametrize("command", ["map", "summarize", "compare", "mosaic"])
def test_clouds_that_are_unknown(tmp_path, model_file, options, command):
    """With a scene classification that is not used, or without one, every command says so."""
    product = make_product(tmp_path, random_bands(), **({"scl": scl(1)} if options else {}))
    out = tmp_path / "map.tif"
    result = run(
        "map", product, "-m", model_file, "-o", out, "--device", "cpu", "-q", "--outputs",
        "probabilities,uncertainty", *options,
    )  # fmt: skip
    if command == "compare":
        result = run("compare", out, out, "-o", tmp_path / "change.tif")
    elif command == "mosaic":
        result = run("mosaic", out, "-o", tmp_path / "mosaic.tif", "-q")
    elif command == "summarize":
        zones = tmp_path / "zones.geojson"
        box = [[9, 40], [10, 40], [10, 50], [9, 50], [9, 40]]
        zones.write_text(json.dumps({"type": "Polygon", "coordinates": [box]}))
        result = run("summarize", out, "--zones", zones, "-o", tmp_path / "zones.csv", "-q")
    assert result.exit_code == 0, result.output
    assert "Clouds are unknown" in result.stderr


def test_a_map_of_vectors_alone_speaks_too(tmp_path, model_file):
    product = make_product(tmp_path, random_bands())
    out = tmp_path / "map.tif"
    call = ("map", product, "-m", model_file, "-o", out, "--device", "cpu", "-q")
    result = run(*call, "--outputs", "vectors")
    assert result.exit_code == 0, result.output
    assert "Clouds are unknown" in result.stderr
