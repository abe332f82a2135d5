"""Maps say where the model is not at home: another continent, another season, other spectra."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from made_archives import make_store
from made_nets import make_net
from made_pixel_nets import Itself, make_pixel_model
from made_product import flat_bands, make_product, random_bands

from geolulc.analysis import open_map, read_cautions
from geolulc.bands import BAND_NAMES
from geolulc.cli import cli
from geolulc.datasets import open_store
from geolulc.datasets.domain import training_domain
from geolulc.domain import Spectra, TrainingDomain, domain_of
from geolulc.errors import OutputError
from geolulc.mapping import MapOptions, map_scenes, predict_scene
from geolulc.nets import Model, describe_model, load_checkpoint, save_checkpoint, shipped_model
from geolulc.outputs import OutputOptions

#: Reflectances around 2,000, in a product of 32TPS (Tyrol, 11° E, 47° N) of June.
SPECTRA = Spectra.of(2000 + np.random.default_rng(0).normal(0, 100, (100, 12)))
HOME = TrainingDomain(100, {"Austria": 100}, {6: 100}, ((10, 46, 100),), SPECTRA)
RASTERS = OutputOptions(("probabilities", "domain"))


def a_model(domain: TrainingDomain | None, name: str = "small") -> Model:
    provenance = {"train_patches": 20_000}
    if domain is not None:
        provenance["domain"] = domain.as_mapping()
    return Model(make_net().eval(), name=name, provenance=provenance)


def mapped(folder: Path, model: Model, dn: int = 2000, **options) -> dict[str, str]:
    """Kind → text of the cautions of a map."""
    save_checkpoint(folder / "m.safetensors", model, overwrite=True)
    product = make_product(folder / "scene", flat_bands(dn=dn))
    map_scenes(
        [product],
        folder / "map.tif",
        [load_checkpoint(folder / "m.safetensors")],
        MapOptions(device="cpu", **options),
        output=RASTERS if domain_of(model.provenance) else OutputOptions(("probabilities",)),
        description=describe_model(folder / "m.safetensors"),
        overwrite=True,
    )
    return {c.kind: c.text for c in read_cautions([folder / "map.tif"])}


def test_at_home_there_is_no_such_caution(tmp_path):
    assert not {"place", "season", "spectra", "training"} & mapped(tmp_path, a_model(HOME)).keys()


def test_another_place(tmp_path):
    told = mapped(tmp_path, a_model(replace(HOME, squares=((24, 60, 100),))))
    assert told["place"].startswith("The map lies far outside the ground that the model learned")
    assert "km from the nearest of it (Austria)" in told["place"]


def test_another_season(tmp_path):
    told = mapped(tmp_path, a_model(replace(HOME, months={1: 50, 2: 50})))
    assert told["season"] == (
        "The scene is of June, 4 months from the seasons that the model learned from (Jan, Feb)."
    )


@pytest.mark.parametrize("resolution", [None, 320])
def test_other_spectra(tmp_path, resolution):
    told = mapped(tmp_path, a_model(HOME), dn=7000, resolution=resolution)
    assert told["spectra"].startswith("100.0% of the cells look unlike the training")
    with rasterio.open(tmp_path / "map_domain.tif") as dataset:
        assert dataset.descriptions == ("Distance from the training",)
        distance = dataset.read(1)
    expected = SPECTRA.unlikeness(np.full((1, len(BAND_NAMES)), 7000.0))[0]
    np.testing.assert_allclose(distance, expected, rtol=1e-5)


def test_each_cell_is_compared_by_its_own_patch(tmp_path):
    """With the offset of the product, without pixels that have no data; cells without: NaN."""
    bands = random_bands(3600, 2400)
    bands["B04"][:120, :60] = 0  # half of the first cell
    for pixels in bands.values():
        pixels[:, -pixels.shape[1] // 3 :] = 0  # the third column
    product = make_product(tmp_path, bands, baseline="05.10", offset=-1000)
    found = predict_scene(product, a_model(HOME), device="cpu", mask_scl=())
    assert found.block.unlikeness.shape == (2, 3)
    assert np.isnan(found.block.unlikeness[:, 2]).all()
    means = []
    for name in BAND_NAMES:
        side = len(bands[name]) // 2
        part = bands[name][:side, :side].astype(float)
        means.append(part[part > 0].mean() - 1000)
    expected = SPECTRA.unlikeness(np.array([means]))
    np.testing.assert_allclose(found.block.unlikeness[0, 0], expected[0], rtol=1e-5)


def test_a_model_without_a_record_says_so(tmp_path):
    told = mapped(tmp_path, a_model(None))
    assert told["place"] == "Where and when the model learned is not recorded."
    product = make_product(tmp_path / "again", flat_bands())
    with pytest.raises(OutputError, match="output domain: found several models, or one without"):
        map_scenes(
            [product],
            tmp_path / "domain.tif",
            [a_model(None)],
            MapOptions(device="cpu"),
            output=RASTERS,
        )
    assert not list(tmp_path.glob("domain*"))


def test_thresholds_of_means_are_told(tmp_path):
    """Those of one view and one model, beside means over several."""
    told = mapped(tmp_path, a_model(HOME), tta=True)
    assert "the probabilities are means (8 views of each patch)" in told["thresholds"]
    out = tmp_path / "mosaic.tif"
    call = ["mosaic", str(tmp_path / "map.tif"), "-o", str(out), "-q"]
    assert CliRunner().invoke(cli, call).exit_code == 0
    with open_map(out) as mosaic:
        assert [c.text for c in mosaic.cautions if c.kind == "thresholds"] == [told["thresholds"]]
    assert "thresholds" not in mapped(tmp_path, a_model(HOME))
    two = [a_model(HOME), a_model(HOME, "other")]
    found = predict_scene(tmp_path / "scene", two, device="cpu")
    assert found.header.model["averaged"] == "2 models"


def test_a_record_is_added_to_a_checkpoint(tmp_path):
    save_checkpoint(tmp_path / "old.safetensors", a_model(None), dtype="float16")
    store = make_store(tmp_path / "s.store", 80)
    new = tmp_path / "new.safetensors"
    call = ["models", "record", str(tmp_path / "old.safetensors"), str(store), "-o", str(new)]
    assert CliRunner().invoke(cli, call).exit_code == 0
    before, after = load_checkpoint(tmp_path / "old.safetensors"), load_checkpoint(new)
    assert domain_of(after.provenance) == training_domain(open_store(store))
    assert new.stat().st_size - (tmp_path / "old.safetensors").stat().st_size < 10_000
    for name, tensor in before.net.state_dict().items():
        assert tensor.equal(after.net.state_dict()[name])
    told = CliRunner().invoke(cli, ["info", str(new)]).output
    assert "patches with spectra: 40" in told
    assert "covariance" not in told


class TestShippedModel:
    def run(self, scene: Path, out: Path, *options: object) -> tuple[list[str], str]:
        call = ("map", scene, "-o", out, "--device", "cpu", "--json", *options)
        result = CliRunner().invoke(cli, [str(argument) for argument in call])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)[0]["cautions"], result.stderr

    def test_laos_is_far_outside(self, shared, tmp_path):
        (scene,) = (shared / "data" / "scenes").glob("*.SAFE")
        few = ("--outputs", "probabilities,domain")
        told, printed = self.run(scene, tmp_path / "map.tif", *few)
        (place,) = [text for text in told if "far outside" in text]
        assert "7,305 km from the nearest of it (Finland" in place
        assert place in printed
        # its spectra alone would not have told
        assert not any("unlike the training" in text for text in told)

    def test_an_overcast_scene_stands_out_by_its_spectra(self, tmp_path):
        rng = np.random.default_rng(0)
        bands = {name: (6000 + rng.normal(0, 300, pixels.shape)).astype(np.uint16)
                 for name, pixels in flat_bands().items()}  # fmt: skip
        told, _ = self.run(make_product(tmp_path, bands), tmp_path / "map.tif")
        assert any(text.startswith("100.0% of the cells look unlike the training") for text in told)

    def test_it_knows_its_fifty_patches(self):
        domain = domain_of(load_checkpoint(shipped_model()).provenance)
        assert domain.patches == domain.spectra.patches == 50
        assert domain.countries["Finland"] == 26
        assert sum(count for *_, count in domain.squares) == 50


def test_a_mosaic_inherits_what_is_said_of_the_model(tmp_path):
    mapped(tmp_path, a_model(replace(HOME, squares=((24, 60, 100),))))
    out = tmp_path / "mosaic.tif"
    call = ["mosaic", str(tmp_path / "map.tif"), "-o", str(out), "-q"]
    assert CliRunner().invoke(cli, call).exit_code == 0
    with open_map(tmp_path / "map.tif") as one, open_map(out) as mosaic:
        (place,) = [c for c in one.cautions if c.kind == "place"]
        assert place in mosaic.cautions


@pytest.mark.parametrize("resolution", [10, 60])
def test_pixels_are_compared_by_squares_as_large_as_patches(tmp_path, resolution):
    bands = flat_bands(3660, 2400, dn=2000)
    for name in BAND_NAMES:
        bands[name][: len(bands[name]) // 2, : bands[name].shape[1] * 1200 // 3660] = 7000
    bands["B04"][-60:, -60:] = 0
    model = make_pixel_model(Itself())
    model = replace(model, provenance={"domain": HOME.as_mapping()})
    product = make_product(tmp_path, bands)
    options = MapOptions(device="cpu", mask_scl=(), resolution=resolution)
    found = predict_scene(product, model, options)
    expected = np.zeros((2400 // resolution, 3660 // resolution), bool)
    expected[: 1200 // resolution, : 1200 // resolution] = True
    np.testing.assert_array_equal(found.block.unlikeness > 1, expected)
    assert np.isfinite(found.block.unlikeness).all()
    output = OutputOptions(("classes", "domain"))
    map_scenes([product], tmp_path / "map.tif", [model], options, output=output)
    with rasterio.open(tmp_path / "map_domain.tif") as dataset:
        distance = dataset.read(1)
    far, near = SPECTRA.unlikeness(np.array([[7000.0] * 12, [2000.0] * 12]))
    values = np.where(expected, far, near)
    values[-600 // resolution :, -600 // resolution :] = np.nan  # pixels without data
    inside = np.s_[: 1200 // resolution]  # the others' means are without these pixels
    np.testing.assert_allclose(distance[inside], values[inside], rtol=1e-5)
    np.testing.assert_array_equal(np.isnan(distance), np.isnan(values))
