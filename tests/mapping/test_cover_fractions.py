"""Maps of cover fractions: their areas are areas, in every file and command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
import torch
from click.testing import CliRunner
from made_map import TILE, made_map, save_map
from made_product import make_model
from rasterio.windows import Window
from torch import Tensor, nn

from geolulc.accuracy.classified import open_classified
from geolulc.analysis import compare_files, describe_map, read_map, summarize_zones
from geolulc.analysis.map_file import open_main
from geolulc.bands import BANDS, GROUPS
from geolulc.cli import cli
from geolulc.errors import OutputError, ParameterError
from geolulc.grid import TileGrid
from geolulc.mapping import MapOptions, predict_scene
from geolulc.mapping.mapper import Mapper
from geolulc.maps.areas import ground_areas
from geolulc.maps.header import LandCoverMap
from geolulc.mosaics import MosaicOptions, make_mosaic
from geolulc.nomenclature import nomenclature
from geolulc.outputs import OutputOptions
from geolulc.products import array_scene

CLASSES = ("Arable land", "Inland waters")
CLC1 = nomenclature("clc1")
CPU = {"device": "cpu", "mask_scl": ()}


class Share(nn.Module):
    """Logits whose softmax is the share of the patch in which B04 is above 1,500."""

    def forward(self, x10: Tensor, x20: Tensor, x60: Tensor) -> Tensor:
        share = (x10[:, GROUPS[10].index("B04")] > 1500).float().mean(dim=(1, 2))
        return torch.log(torch.stack([share, 1 - share], dim=1).clamp(min=1e-6))


@pytest.fixture
def model():
    return make_model(Share(), CLASSES, task="fraction")


def landscape(width: int, height: int, seed: int = 0) -> tuple[dict, np.ndarray]:
    """Bands, and where the first class is: rectangles of any size, bool at 10 m."""
    random = np.random.default_rng(seed)
    there = np.zeros((height // 10, width // 10), bool)
    for _ in range(60):
        top, left = random.integers(0, there.shape[0]), random.integers(0, there.shape[1])
        high, wide = random.integers(3, 60, 2)
        there[top : top + high, left : left + wide] ^= True
    bands = {
        b.name: np.full((height // b.resolution, width // b.resolution), 1000, np.uint16)
        for b in BANDS
    }
    bands["B04"][there] = 2000
    return bands, there


def fraction_map(seed: int = 0, tile: TileGrid = TILE, **changes) -> LandCoverMap:
    """A made map whose values are fractions."""
    made = made_map(tile, seed=seed, stride=600, **changes)
    p = made.block.probabilities
    p = p / p.sum(axis=0)
    header = replace(made.header, fractions=True)
    return LandCoverMap(header, replace(made.block, probabilities=p.astype(np.float32)))


def areas_of(made: LandCoverMap) -> np.ndarray:
    """Hectares of each class."""
    hectares = ground_areas(made.header.grid, made.header.unit.areas)
    return np.nansum(made.block.shares.astype(np.float64) * hectares, axis=(1, 2))


class TestMapping:
    @pytest.mark.parametrize("stride", [1200, 600, 240])
    def test_areas_are_those_of_the_ground(self, model, stride) -> None:
        """Patches that overlap count each place once: their cells do not overlap."""
        bands, there = landscape(12_000, 9_600)
        place = {"crs": "EPSG:32632", "transform": (10, 0, 600_000, 0, -10, 5_200_020)}
        scene = array_scene(bands, offset=0, **place)
        found = predict_scene(scene, [model], MapOptions(stride=stride, **CPU))
        header, shares = found.header, found.block.shares
        assert header.fractions
        assert not header.exclusive
        assert shares.sum(axis=0) == pytest.approx(1, abs=1e-5)
        truth = there.mean()
        mapped = areas_of(found) / areas_of(found).sum()
        # at a stride of a patch each pixel is in one patch; else the edge's count up to three times
        assert mapped[0] == pytest.approx(truth, abs=1e-5 if stride == 1200 else 0.02)
        largest = (shares[0] > 0.5).mean()
        assert abs(largest - truth) > 2 * abs(mapped[0] - truth)

    def test_places_inside_patches_are_refused(self, model) -> None:
        with pytest.raises(ParameterError, match="a model of fractions"):
            Mapper([model], MapOptions(resolution=160, **CPU))

    def test_they_are_not_averaged_with_probabilities(self, model) -> None:
        other = make_model(Share(), CLASSES, name="other")
        with pytest.raises(ParameterError, match="the task patch"):
            Mapper([model, other], MapOptions(**CPU))

    def test_turns_and_several_models_are_averaged(self, model) -> None:
        bands, _ = landscape(3600, 3600)
        place = {"crs": "EPSG:32632", "transform": (10, 0, 600_000, 0, -10, 5_200_020)}
        scene = array_scene(bands, offset=0, **place)
        alone = predict_scene(scene, [model], MapOptions(**CPU)).block.shares
        several = predict_scene(scene, [model, model], MapOptions(tta=True, **CPU)).block.shares
        assert several == pytest.approx(alone, abs=1e-6)


class TestFiles:
    @pytest.fixture
    def made(self) -> LandCoverMap:
        return fraction_map()

    @pytest.fixture
    def written(self, made, tmp_path) -> Path:
        save_map(made, tmp_path / "map.tif", report=True)
        return tmp_path / "map.tif"

    def test_every_file_has_the_areas(self, made, written) -> None:
        areas = areas_of(made)
        expected = dict(zip(made.header.classes, areas.tolist(), strict=True))
        with rasterio.open(written) as dataset:
            tags = dataset.tags()
        assert tags["VALUES"] == "cover fractions"
        assert "fraction × area" in tags["AREA_METHOD"]
        told = json.loads(tags["AREA_HA_BY_CLASS"])
        # also those that are nowhere the most extensive class
        assert told == pytest.approx(expected, abs=1e-3)
        assert sum(areas) == pytest.approx(float(tags["MAPPED_AREA_HA"]), rel=1e-6)
        summary = pyogrio.read_dataframe(written.with_suffix(".gpkg"), layer="summary")
        assert summary["area_ha"].to_numpy() == pytest.approx(areas)
        assert summary["share"].sum() == pytest.approx(1)
        assert "expected_area_ha" not in summary.columns
        info = describe_map(written)
        assert info["values"] == "cover fractions"
        assert info["area_ha_by_class"] == told

    def test_words_are_of_fractions(self, written) -> None:
        page = written.with_suffix(".html").read_text()
        assert "the sum of cover fraction × area of the cell" in page
        assert "Most extensive class" in page
        assert "Mean cover fraction" in page
        item = json.loads(written.with_suffix(".json").read_text())
        assert item["assets"]["probabilities"]["title"] == "Cover fraction of each class"
        assert item["assets"]["classes"]["title"] == "Most extensive class"
        assert "Cover fractions and most extensive class" in item["properties"]["description"]
        for words in (page, json.dumps(item)):
            assert "robabilit" not in words.replace("probabilities", "")
        assert (
            "how mixed the cell is"
            in (rasterio.open(written.with_name("map_uncertainty.tif")).tags(1)["MEANING"])
        )
        gpkg = written.with_suffix(".gpkg")
        layers = {name: pyogrio.read_info(gpkg, layer=name) for name in ("classes", "cells")}
        assert layers["cells"]["layer_metadata"]["VALUES"] == "cover fractions"

    def test_a_mixed_cell_is_no_doubt(self, made, tmp_path) -> None:
        p = np.full_like(made.block.probabilities, 1 / 19)
        even = LandCoverMap(made.header, replace(made.block, probabilities=p))
        save_map(even, tmp_path / "map.tif")
        assert not any("unsure" in text for text in describe_map(tmp_path / "map.tif")["cautions"])

    @pytest.mark.parametrize("dtype", ["float32", "uint16", "uint8"])
    def test_it_reads_back_as_fractions(self, made, tmp_path, dtype) -> None:
        save_map(made, tmp_path / "map.tif", dtype=dtype)
        again = read_map(tmp_path / "map.tif")
        assert again.header == made.header
        totals = again.block.shares.sum(axis=0)
        assert totals[np.isfinite(totals)] == pytest.approx(1, abs=1e-5)
        step = {"float32": 1e-6, "uint16": 1e-4, "uint8": 0.01}[dtype]
        np.testing.assert_allclose(again.block.shares, made.block.shares, atol=step)

    def test_values_that_do_not_add_up_are_damage(self, written) -> None:
        with rasterio.open(written, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
            dataset.write(np.full(dataset.shape, 0.9, np.float32), 1)
        with pytest.raises(OutputError, match="do not add up to 1"):
            read_map(written)


class TestReaders:
    def test_zones_have_areas(self, tmp_path) -> None:
        made = fraction_map(nodata=0.0)
        save_map(made, tmp_path / "map.tif", "probabilities")
        left, bottom, right, top = TILE.bounds
        middle = (left + right) / 2
        boxes = [shapely.box(left, bottom, middle, top), shapely.box(middle, bottom, right, top)]
        zones = geopandas.GeoDataFrame({"id": [1, 2]}, geometry=boxes, crs=TILE.crs)
        found = summarize_zones(tmp_path / "map.tif", zones)
        hectares = found[[c for c in found.columns if c.startswith("ha_")]]
        assert hectares.sum().to_numpy() == pytest.approx(areas_of(made), rel=1e-5)
        assert hectares.sum(axis=1).to_numpy() == pytest.approx(found["mapped_ha"].to_numpy())
        assert not [c for c in found.columns if c.startswith("p_")]

    def test_two_dates_are_compared_by_area(self, tmp_path) -> None:
        maps = [fraction_map(seed, nodata=0.0) for seed in (0, 1)]
        paths = [tmp_path / f"{i}.tif" for i in (0, 1)]
        for made, path in zip(maps, paths, strict=True):
            save_map(made, path, "probabilities")
        _, figures = compare_files(*paths, tmp_path / "change.tif")
        hectares = ground_areas(maps[0].header.grid, maps[0].header.unit.areas)
        both = np.minimum(*(m.block.shares.astype(np.float64) for m in maps))
        for i, row in enumerate(figures["classes"]):
            assert row["before_ha"] == pytest.approx(areas_of(maps[0])[i])
            assert row["after_ha"] == pytest.approx(areas_of(maps[1])[i])
            assert row["both_ha"] == pytest.approx((both[i] * hectares).sum())
        change = sum(r["after_ha"] - r["before_ha"] for r in figures["classes"])
        assert change == pytest.approx(0, abs=1e-2)

    def test_coarser_classes_share_the_ground(self, tmp_path) -> None:
        made = fraction_map(nodata=0.0)
        fine, shares = made.header, made.block.shares.astype(np.float64)
        held = CLC1.holders(fine.land_cover)
        names = [name for name in CLC1.names if name in held]
        together = np.stack([shares[[h == name for h in held]].sum(axis=0) for name in names])
        codes = np.array([CLC1[name].code for name in names])[together.argmax(axis=0)]
        # that is not the class which holds the most extensive one of the map
        largest = [CLC1[held[position]].code for position in shares.argmax(axis=0).ravel()]
        assert (codes.ravel() != largest).any()
        expected = (together * ground_areas(fine.grid, fine.unit.areas)).sum(axis=(1, 2))
        path, coarse = tmp_path / "map.tif", tmp_path / "coarse.tif"
        save_map(made, path, "probabilities")
        save_map(made, coarse, "probabilities", "classes", coarser=CLC1)
        with rasterio.open(tmp_path / "coarse_classes.tif") as dataset:
            assert (dataset.read(1) == codes).all()
        with open_main(path, CLC1) as opened:
            assert (opened.codes(Window(0, 0, *reversed(fine.grid.shape))) == codes).all()
        told = [describe_map(path, CLC1), describe_map(coarse)]
        zones = geopandas.GeoDataFrame(geometry=[shapely.box(*TILE.bounds)], crs=TILE.crs)
        found = summarize_zones(path, zones, coarser=CLC1)
        assert found[[c for c in found if c.startswith("ha_")]].to_numpy()[0] == pytest.approx(
            expected, rel=1e-5
        )
        _, figures = compare_files(path, path, tmp_path / "change.tif", coarser=CLC1)
        told.append({"area_ha_by_class": {c["name"]: c["after_ha"] for c in figures["classes"]}})
        for each in told:
            areas = [each["area_ha_by_class"][name] for name in names]
            assert areas == pytest.approx(expected, rel=1e-3)

    def test_a_nomenclature_that_lacks_a_class_is_refused(self, tmp_path) -> None:
        """Cells would be covered by no class in part."""
        made = fraction_map()
        save_map(made, tmp_path / "map.tif", "probabilities")
        dry = CLC1.only([name for name in CLC1.names if name != "Water bodies"])
        message = "nomenclature clc1: found no class that holds Inland waters"
        with pytest.raises(ParameterError, match=message):
            open_main(tmp_path / "map.tif", dry)
        with pytest.raises(ParameterError, match=message):
            save_map(made, tmp_path / "dry.tif", "probabilities", coarser=dry)
        # areas by class alone are right, and the rest is told
        told = describe_map(tmp_path / "map.tif", dry)
        water = (
            made.header.classes.index("Inland waters"),
            made.header.classes.index("Marine waters"),
        )
        assert told["other_area_ha"] == pytest.approx(areas_of(made)[list(water)].sum(), rel=1e-3)

    def test_not_with_a_map_of_probabilities(self, tmp_path) -> None:
        made = fraction_map()
        plain = LandCoverMap(replace(made.header, fractions=False), made.block)
        for name, one in (("a.tif", made), ("b.tif", plain)):
            save_map(one, tmp_path / name, "probabilities")
        with pytest.raises(ParameterError, match="cover fractions"):
            compare_files(tmp_path / "a.tif", tmp_path / "b.tif", tmp_path / "change.tif")
        options = MosaicOptions(), OutputOptions(("probabilities",))
        with pytest.raises(OutputError, match="cells among maps of cover fractions"):
            make_mosaic([tmp_path / "a.tif", tmp_path / "b.tif"], tmp_path / "m.tif", *options)

    @pytest.mark.parametrize("how", ["mean", "median", "max"])
    def test_a_mosaic_is_of_fractions(self, tmp_path, how) -> None:
        times = ("2024-06-25T10:10:31Z", "2024-07-25T10:10:31Z", "2024-08-25T10:10:31Z")
        for seed, time in enumerate(times):
            made = fraction_map(seed)
            scene = {**made.header.scene, "name": f"scene {seed}", "sensing_time": time}
            save_map(
                LandCoverMap(replace(made.header, scene=scene), made.block),
                tmp_path / f"{seed}.tif", "probabilities", "uncertainty",
            )  # fmt: skip
        paths = [tmp_path / f"{seed}.tif" for seed in range(3)]
        out = tmp_path / "mosaic.tif"
        make_mosaic(paths, out, MosaicOptions(combine=how), OutputOptions(("probabilities",)))
        found = read_map(out)
        assert found.header.fractions
        totals = found.block.shares.sum(axis=0)
        assert totals[np.isfinite(totals)] == pytest.approx(1, abs=1e-5)

    def test_it_is_assessed_by_its_most_extensive_class(self, tmp_path) -> None:
        made = fraction_map(nodata=0.0)
        save_map(made, tmp_path / "map.tif", "probabilities")
        with open_classified(tmp_path / "map.tif") as opened:
            assert not opened.several


def test_terms_on_the_terminal(tmp_path) -> None:
    made = fraction_map()
    save_map(made, tmp_path / "map.tif")
    done = CliRunner().invoke(cli, ["info", str(tmp_path / "map.tif")])
    assert done.exit_code == 0, done.output
    assert "values: cover fractions" in done.output
    assert "fraction × area of the cell" in done.output


def test_a_header_is_of_fractions_or_pixels() -> None:
    header = fraction_map().header
    assert header.adds_up
    with pytest.raises(ValueError, match="no fractions"):
        replace(header, exclusive=True)
