"""What decides about cells: data, clouds, areas, ensembles, turns; and that tiles decode once."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import ClassVar

import geopandas
import numpy as np
import pytest
import shapely
import torch
from made_pixel_nets import Itself, make_pixel_model
from made_product import CORNERS, Corners, Means, flat_bands, make_model, make_product, random_bands
from torch import nn

from geolulc.bands import BANDS
from geolulc.errors import GeolulcError, ParameterError, ProductError
from geolulc.grid import Grid, TileGrid
from geolulc.mapping import predict_scene, strips
from geolulc.mapping.area import select_cells
from geolulc.mapping.mapper import Mapper, _batch_size
from geolulc.mapping.options import MapOptions
from geolulc.mapping.workers import Workers
from geolulc.nets import Model, NetConfig, Normalisation, build_net
from geolulc.products import Jp2Image, open_product

CPU = {"device": "cpu", "mask_scl": ()}


class TestTilesAreDecodedOnce:
    @pytest.fixture
    def decoded(self, monkeypatch):
        """(path, tile) → how often the real decoder was asked for it."""
        counts, read = Counter(), Jp2Image.read

        def counting(image, row, column, out):
            counts[image.path, row, column] += 1
            read(image, row, column, out)

        monkeypatch.setattr(Jp2Image, "read", counting)
        return counts

    @pytest.mark.parametrize("options", [
        {"stride": 1200}, {"stride": 480}, {"stride": 480, "threads": 4},
    ])  # fmt: skip
    def test_at_any_stride(self, tmp_path, decoded, options):
        product = open_product(make_product(tmp_path, flat_bands(4260, 3660)))
        predict_scene(product, make_model(Means()), **CPU, **options)
        assert set(decoded.values()) == {1}
        # 426 × 366, 213 × 183 and 71 × 61 pixels in tiles of 250, 130 and 50
        assert len(decoded) == 4 * 4 + 6 * 4 + 2 * 4

    def test_with_little_memory(self, tmp_path, decoded, monkeypatch):
        monkeypatch.setitem(strips.StripReader.__init__.__kwdefaults__, "memory", 1)
        product = open_product(make_product(tmp_path, flat_bands(4260, 3660)))
        predict_scene(product, make_model(Means()), **CPU, stride=600)
        assert set(decoded.values()) == {1}

    def test_only_what_the_area_touches(self, tmp_path, decoded):
        product = open_product(make_product(tmp_path, flat_bands(4260, 3660)))
        area = tmp_path / "field.gpkg"
        box = shapely.box(600_100, 5_199_900, 600_200, 5_200_000)
        geopandas.GeoSeries([box], crs=32632).to_file(area)
        landcover_map = predict_scene(product, make_model(Means()), aoi=area, **CPU)
        assert {(row, column) for _, row, column in decoded} == {(0, 0)}
        assert len(decoded) == 12
        there = ~np.isnan(landcover_map.block.probabilities[0])
        assert there.sum() == 1
        assert there[0, 0]


class TestNodata:
    def test_a_pixel_is_valid_where_all_bands_have_data(self, tmp_path):
        bands = flat_bands(2400, 2400)
        bands["B09"][:5, :20] = 0  # a quarter of the first cell, in one coarse band
        bands["B02"][120:, 120:] = 0  # the last cell
        bands["B11"][60:120, 0:10] = 0  # a sixth of the third
        product = make_product(tmp_path, bands)
        landcover_map = predict_scene(product, make_model(Means()), **CPU)
        np.testing.assert_allclose(landcover_map.block.valid, [[0.75, 1], [5 / 6, 0]], rtol=1e-6)
        np.testing.assert_array_equal(
            np.isnan(landcover_map.block.probabilities[0]), [[False, False], [False, True]]
        )
        strict = predict_scene(product, make_model(Means()), **CPU, min_valid=0.8)
        np.testing.assert_array_equal(
            np.isnan(strict.block.probabilities[0]), [[True, False], [False, True]]
        )

    def test_nodata_enters_as_the_mean(self, tmp_path):
        """And DN 1, which is reflectance, does not count as nodata."""
        bands = flat_bands(1200, 1200, dn=1)
        bands["B04"][:60] = 0
        model = make_model(Corners(), CORNERS, mean=-500.0)
        landcover_map = predict_scene(make_product(tmp_path, bands), model, **CPU)
        dn = np.rint(landcover_map.block.probabilities[:, 0, 0] * 32768)
        assert landcover_map.block.valid[0, 0] == 0.5
        assert set(dn[:12]) == {0}  # (mean - mean) / std
        assert set(dn[12:]) == {501}

    def test_a_scene_without_any_data(self, tmp_path):
        product = make_product(tmp_path, flat_bands(dn=0))
        with pytest.raises(ProductError, match="no cell with enough ground"):
            predict_scene(product, make_model(Means()), **CPU, min_valid=0)
        landcover_map = predict_scene(
            product, make_model(Means()), **CPU, min_valid=0, allow_empty=True
        )
        assert np.isnan(landcover_map.block.probabilities).all()


class TestClouds:
    def test_clear_share(self, tmp_path):
        scl = np.full((120, 120), 4, np.uint8)
        scl[:30, :60] = 9  # half of the first cell is cloud
        scl[60:, :60] = 11  # snow is land cover
        scl[60:, 60:] = 3
        product = make_product(tmp_path, scl=scl)
        landcover_map = predict_scene(product, make_model(Means()), device="cpu")
        np.testing.assert_array_equal(landcover_map.block.clear, [[0.5, 1], [1, 0]])
        snow = predict_scene(product, make_model(Means()), device="cpu", mask_scl=[11])
        np.testing.assert_array_equal(snow.block.clear, [[1, 1], [0, 1]])

    @pytest.mark.parametrize("options", [{"device": "cpu"}, CPU])
    def test_no_scene_classification(self, tmp_path, options):
        found = predict_scene(make_product(tmp_path), make_model(Means()), **options)
        assert found.block.clear is None
        assert found.header.min_clear == 0


class TestArea:
    GRID = Grid.over(TileGrid("EPSG:32632", 600_000, 5_200_020, 6000, 4800), 1200)

    def test_a_box_in_degrees(self):
        west, south, east, north = (
            geopandas.GeoSeries([shapely.box(602_500, 5_197_700, 603_500, 5_198_700)], crs=32632)
            .to_crs(4326)
            .total_bounds
        )
        selected = select_cells(self.GRID, f"{west},{south},{east},{north}")
        assert np.argwhere(selected).tolist() == [[1, 2]]

    @pytest.mark.parametrize("driver", ["GPKG", "GeoJSON", "ESRI Shapefile"])
    def test_files_of_any_geometry_and_crs(self, tmp_path, driver):
        points = geopandas.GeoSeries(
            shapely.points([(600_100, 5_200_000), (605_900, 5_195_300)]), crs=32632
        )
        path = tmp_path / "Flächen.x"
        path = path.with_suffix({"GPKG": ".gpkg", "GeoJSON": ".geojson"}.get(driver, ".shp"))
        points.to_crs(4326).to_file(path, driver=driver)
        assert np.argwhere(select_cells(self.GRID, path)).tolist() == [[0, 0], [3, 4]]

    def test_a_line(self, tmp_path):
        line = shapely.linestrings([(600_100, 5_200_000), (605_900, 5_200_000)])
        geopandas.GeoSeries([line], crs=32632).to_file(tmp_path / "l.gpkg")
        selected = select_cells(self.GRID, tmp_path / "l.gpkg")
        assert selected[0].all()
        assert not selected[1:].any()

    def test_an_area_that_shares_only_an_edge(self, tmp_path):
        box = shapely.box(600_000, 5_198_820, 601_200, 5_200_020)
        geopandas.GeoSeries([box], crs=32632).to_file(tmp_path / "a.gpkg")
        assert np.argwhere(select_cells(self.GRID, tmp_path / "a.gpkg")).tolist() == [[0, 0]]

    def test_outside(self):
        with pytest.raises(ParameterError, match=r"outside the scene.*Check its coordinates"):
            select_cells(self.GRID, "100,10,101,11")

    @pytest.mark.parametrize("text", ["5,6,4,7", "0,-100,1,1", "a,b,c,d", "nothing.gpkg"])
    def test_nonsense(self, text):
        with pytest.raises(ParameterError, match=f"aoi {text}"):
            select_cells(self.GRID, text)

    def test_not_a_vector_file(self, tmp_path):
        (tmp_path / "x.gpkg").write_text("no")
        with pytest.raises(ParameterError, match="a vector file with geometries"):
            select_cells(self.GRID, tmp_path / "x.gpkg")

    def test_without_geometry(self, tmp_path):
        (tmp_path / "x.csv").write_text("a,b\n1,2\n")
        with pytest.raises(ParameterError, match="a vector file with geometries"):
            select_cells(self.GRID, tmp_path / "x.csv")


class TopLeft(nn.Module):
    """Logit from the first pixel: not the same after a turn."""

    def forward(self, x10, x20, x60):
        return torch.logit(x10[:, 2, 0, 0, None] / 32768)


def test_tta_averages_over_eight_turns(tmp_path):
    bands = flat_bands(1200, 1200, dn=8192)
    for index, corner in enumerate([(0, 0), (0, -1), (-1, 0), (-1, -1)]):
        bands["B04"][corner] = 4096 * (index + 1)
    product = make_product(tmp_path, bands)
    plain = predict_scene(product, make_model(TopLeft()), **CPU)
    turned = predict_scene(product, make_model(TopLeft()), **CPU, tta=True)
    assert plain.block.probabilities[0, 0, 0] == pytest.approx(1 / 8)
    # each corner comes first in two of the eight
    assert turned.block.probabilities[0, 0, 0] == pytest.approx((1 + 2 + 3 + 4) / 4 / 8)


def test_classes_are_averaged_by_name(tmp_path):
    class Two(nn.Module):
        def __init__(self, first, second):
            super().__init__()
            self.values = torch.logit(torch.tensor([first, second]))

        def forward(self, x10, x20, x60):
            return self.values.expand(len(x10), 2)

    models = [
        make_model(Two(0.2, 0.8), ("Pastures", "Arable land"), thresholds=(0.1, 0.9)),
        make_model(Two(0.6, 0.4), ("Arable land", "Pastures"), thresholds=(0.7, 0.3)),
    ]
    landcover_map = predict_scene(make_product(tmp_path), models, **CPU)
    assert landcover_map.header.classes == ("Pastures", "Arable land")
    np.testing.assert_allclose(landcover_map.block.probabilities[:, 0, 0], [0.3, 0.7], rtol=1e-6)
    assert landcover_map.header.thresholds == pytest.approx((0.2, 0.8))
    assert landcover_map.header.model["name"] == "probe + probe"


class Narrow(Means):
    """A device that holds three patches."""

    batches: ClassVar[list[int]] = []

    def forward(self, x10, x20, x60):
        self.batches.append(len(x10))
        if len(x10) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(x10, x20, x60)


def test_out_of_memory_halves_the_batch_and_goes_on(tmp_path, caplog):
    product = make_product(tmp_path, flat_bands(9600, 1200, dn=8192))
    Narrow.batches.clear()
    landcover_map = predict_scene(product, make_model(Narrow()), **CPU, batch_size=8, threads=1)
    np.testing.assert_allclose(landcover_map.block.probabilities, 0.25, rtol=1e-5)
    assert Narrow.batches == [8, 4, 2, 2, 4, 2, 2]
    assert "out of GPU memory at 8 patches: trying 4" in caplog.text


class Meeting:
    """Two batches are computed at once, or none is."""

    barrier = threading.Barrier(2, timeout=60)

    def forward(self, *groups, **options):
        self.barrier.wait()
        return super().forward(*groups, **options)


class MeetingPatches(Meeting, Means):
    pass


class MeetingPixels(Meeting, Itself):
    pass


@pytest.mark.parametrize("kind", ["patches", "pixels"])
def test_threads_do_not_wait_for_the_end_of_a_row(tmp_path, kind):
    product = open_product(make_product(tmp_path, flat_bands(1200, 9600, dn=8192)))
    model = make_model(MeetingPatches()) if kind == "patches" else make_pixel_model(MeetingPixels())
    with Mapper([model], MapOptions(**CPU, threads=2)) as mapper, mapper.open(product) as run:
        # an even number of rows, each of one batch
        assert len(run.reader.rows) == {"patches": 8, "pixels": 2}[kind]
        blocks = list(run.blocks(shares=True))
    p = np.concatenate([block.probabilities for block in blocks], axis=1)
    np.testing.assert_allclose(p[-1], 0.25, atol=1e-4)


class Broken(Means):
    def forward(self, x10, x20, x60):
        raise RuntimeError("a bug")


def test_an_exception_of_a_thread_arrives(tmp_path):
    with pytest.raises(RuntimeError, match="a bug"):
        predict_scene(make_product(tmp_path), make_model(Broken()), **CPU)


def test_a_file_that_is_cut_while_it_is_mapped(tmp_path):
    product = open_product(make_product(tmp_path, random_bands(6000, 6000)))
    path = Path(product.band_files["B08"])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(ProductError, match=r"_B08_10m\.jp2: found a damaged file \(JP2 tile"):
        predict_scene(product, make_model(Means()), **CPU)


class TestDecodingThreads:
    """What goes wrong in one is told by the call that waits for it."""

    def test_one_that_raises(self, tmp_path, monkeypatch):
        def failing(image, row, column, out):
            raise MemoryError(f"no memory for tile {row}, {column}")

        monkeypatch.setattr(Jp2Image, "read", failing)
        with pytest.raises(MemoryError, match="no memory for tile 0, 0"):
            predict_scene(make_product(tmp_path), make_model(Means()), **CPU)

    def test_one_that_hangs(self, tmp_path, monkeypatch):
        gate, read = threading.Event(), Jp2Image.read

        def hanging(image, row, column, out):
            if "_B11_" in image.path:
                gate.wait()
            read(image, row, column, out)

        monkeypatch.setattr(Jp2Image, "read", hanging)
        monkeypatch.setitem(Workers.__init__.__kwdefaults__, "stall_seconds", 1.0)
        try:
            with pytest.raises(GeolulcError, match=r"_B11_20m\.jp2.*: found no progress for"):
                predict_scene(make_product(tmp_path), make_model(Means()), **CPU, threads=3)
        finally:
            gate.set()


def test_batches_fit_the_device():
    assert [_batch_size(torch.device("cpu"), n) for n in (1, 2, 4, 8, 64)] == [16, 16, 16, 8, 4]
    assert _batch_size(torch.device("cuda"), 2) == 512  # halved where it does not fit
    with Mapper([make_model(Means())], MapOptions(device="cpu", batch_size=3)) as mapper:
        assert mapper.batch_size == 3


def test_threads_are_given_back(tmp_path):
    before = torch.get_num_threads()
    predict_scene(make_product(tmp_path), make_model(Means()), **CPU)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "metres between patches, up to the size of one"),
        ({"min_valid": 1.5}, "a share in 0..1"),
        ({"mask_scl": (12,)}, r"codes of the scene classification, 0\.\.11"),
        ({"overlap": "some"}, "exact or shared"),
        ({"overlap": "shared", "tta": True}, "one of the two"),
        ({"threads": 0}, "expected 1 to"),
        ({"batch_size": -1}, "expected 1 to"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ParameterError, match=message):
        MapOptions(**options)


def test_a_device_that_is_not_there():
    with pytest.raises(ParameterError, match="on a machine that has it"):
        Mapper([make_model(Means())], MapOptions(device="cuda:99"))


def test_no_model():
    with pytest.raises(GeolulcError, match="at least one"):
        Mapper([], MapOptions())


def _real_net(**config):
    normalisation = Normalisation(
        mean={b.name: 1500.0 for b in BANDS}, std={b.name: 900.0 for b in BANDS}
    )
    net = build_net(
        NetConfig(backbone="resnet10t", **config),
        classes=("a", "b", "c"),
        nomenclature="ben19",
        normalisation=normalisation,
        seed=3,
    )
    return Model(net.eval())


class TestShared:
    @pytest.mark.parametrize("config", [{}, {"trunk": "shallow", "image_size": 60}])
    def test_a_uniform_scene_differs_by_borders_only(self, tmp_path, config):
        """Where all features of a stretch are alike, pooling any window gives the same."""
        product = make_product(tmp_path, flat_bands(6000, 4800, dn=1700))
        shared = predict_scene(product, _real_net(**config), **CPU, stride=240, overlap="shared")
        exact = predict_scene(product, _real_net(**config), **CPU, stride=240)
        assert shared.block.probabilities.shape == exact.block.probabilities.shape
        inner = shared.block.probabilities[:, 8:-8, 8:-8]
        assert np.ptp(inner, axis=(1, 2)).max() < 0.05
        assert np.abs(shared.block.probabilities - exact.block.probabilities).mean() < 0.1

    def test_no_overlap_is_exact(self, tmp_path):
        product = make_product(tmp_path)
        maps = [
            predict_scene(product, _real_net(), **CPU, overlap=overlap)
            for overlap in ("exact", "shared")
        ]
        np.testing.assert_array_equal(maps[0].block.probabilities, maps[1].block.probabilities)

    def test_masks_and_areas_are_kept(self, tmp_path):
        bands = flat_bands(4800, 4800, dn=1700)
        bands["B02"][:240] = 0
        maps = [
            predict_scene(
                make_product(tmp_path / overlap, bands), _real_net(), **CPU, stride=600,
                overlap=overlap,
            )
            for overlap in ("exact", "shared")
        ]  # fmt: skip
        np.testing.assert_array_equal(maps[0].block.valid, maps[1].block.valid)
        np.testing.assert_array_equal(
            np.isnan(maps[0].block.probabilities), np.isnan(maps[1].block.probabilities)
        )

    def test_networks_that_cannot_share(self):
        model = _real_net(attention="cbam")
        with pytest.raises(ParameterError, match=r"attention cbam.*Use --overlap exact"):
            Mapper([model], MapOptions(overlap="shared", stride=600))


def test_onnx_runtime_gives_the_same_probabilities(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    product = make_product(tmp_path, random_bands(4800, 2400))
    torch_map, onnx_map = (
        predict_scene(product, _real_net(), **CPU, runtime=runtime) for runtime in ("torch", "onnx")
    )
    np.testing.assert_allclose(
        onnx_map.block.probabilities, torch_map.block.probabilities, atol=1e-5
    )


def test_onnx_runtime_is_for_exact_patches():
    with pytest.raises(ParameterError, match="Use --runtime torch"):
        Mapper([make_model(Means())], MapOptions(runtime="onnx", overlap="shared", device="cpu"))
