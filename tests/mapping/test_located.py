"""Patch models on cells inside their patches: agreement with the patch, place, geometry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_nets import make_net
from made_product import Means, flat_bands, make_model, make_product, random_bands

import geolulc
from geolulc.analysis import read_map
from geolulc.bands import BANDS
from geolulc.errors import ParameterError
from geolulc.grid import Grid, MapGrid, TileGrid
from geolulc.mapping import MapOptions, Mapper, map_scenes, predict_scene
from geolulc.mapping.located_cells import LocatedCells, ShareCounts
from geolulc.nets import Calibration, Model, load_checkpoint, shipped_model
from geolulc.outputs import OutputOptions

SIZES = (320, 160, 80)


def logit(p: np.ndarray) -> np.ndarray:
    p = p.astype(np.float64)
    return np.log(p) - np.log1p(-p)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return make_product(tmp_path_factory.mktemp("random"), random_bands(3600, 2400))


@pytest.mark.parametrize("resolution", SIZES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"trunk": "shallow", "image_size": 60},
        {"fusion": "late"},
        {"backbone": "convnextv2_atto"},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore")
def test_cells_of_a_patch_agree_with_it(scene, options, resolution):
    # calibrated by class: it is the calibrated logits whose mean agrees
    by_class = Calibration(1.5, tuple(np.linspace(0.5, 2, 19)), tuple(np.linspace(-1, 1, 19)))
    model = Model(make_net(**options).eval(), calibration=by_class)
    require_agreement(scene, model, resolution)


def test_cells_of_the_shipped_model_agree(scene):
    require_agreement(scene, load_checkpoint(shipped_model()), 160)


def test_cells_of_a_published_model_agree(scene, shared):
    folder = shared / "data" / "published-weights" / "test_resnet-s2-v0.2.0"
    require_agreement(scene, load_checkpoint(folder), 320)


def require_agreement(scene, model, resolution):
    """The mean logit of the cells whose centres lie in a patch is the patch's logit.

    Where all of them are within ±8: beyond, they are bent.
    """
    patches = predict_scene(scene, model, device="cpu")
    cells = predict_scene(scene, model, resolution=resolution, device="cpu")
    rows, columns = cells.header.grid.shape
    # the last cells are cut at the tile's edge
    y, x = (
        ((i * resolution + np.minimum(extent, (i + 1) * resolution)) / 2) // 1200
        for i, extent in ((np.arange(rows), 2400), (np.arange(columns), 3600))
    )
    for row in range(patches.header.grid.shape[0]):
        for column in range(patches.header.grid.shape[1]):
            inside = cells.block.probabilities[:, y == row][:, :, x == column]
            straight = np.abs(logit(inside)).max(axis=(1, 2)) < 7.99
            assert straight.sum() > 9
            mean = logit(inside).mean(axis=(1, 2))
            expected = logit(patches.block.probabilities[:, row, column])
            np.testing.assert_allclose(mean[straight], expected[straight], atol=2e-4)
            assert np.ptp(inside, axis=(1, 2)).max() > 0


@pytest.mark.parametrize("options", [{"trunk": "shallow", "image_size": 60}, {}], ids=str)
def test_evidence_lies_where_the_ground_is(tmp_path, options):
    """A net that sums what is bright, on a bright square in the middle of a patch."""
    bands = {b.name: np.full((2400 // b.resolution,) * 2, 500, np.uint16) for b in BANDS}
    for b in BANDS:
        square = slice(1560 // b.resolution, 2040 // b.resolution)
        bands[b.name][square, square] = 1500
    net = make_net(backbone="resnet18", **options).eval()
    head = net.fusion.head if "trunk" in options else net.fusion.backbone.fc
    with torch.no_grad():
        # all weights say the same: features grow with brightness
        for parameter in net.fusion.backbone.parameters():
            if parameter.ndim == 4:
                parameter.fill_(1 / parameter[0].numel())
        head.weight[:] = 0
        head.weight[0, : net.fusion.backbone.num_features if not options else 128] = 0.01
    path = make_product(tmp_path, bands)
    made = predict_scene(path, Model(net), resolution=80, device="cpu", mask_scl=())
    patch = logit(made.block.probabilities[0])[15:, 15:]
    bright = patch - np.quantile(patch, 0.5)
    weights = bright.clip(0) ** 2
    centre = 1240 + 80 * np.arange(15)
    for axis in (0, 1):
        assert abs((weights.sum(axis=axis) * centre).sum() / weights.sum() - 1800) < 40
    # a class that the head says nothing of has no contrast: it stays at the patch's value
    flat = made.block.probabilities[1, 15:, 15:]
    np.testing.assert_allclose(flat, flat[0, 0], rtol=1e-5)


def test_shares_are_of_the_cell(tmp_path):
    bands = {name: band.copy() for name, band in flat_bands().items()}
    bands["B04"][:16, :8] = 0  # half of a cell of 160 m
    scl = np.full((120, 120), 4, np.uint8)
    scl[8:16, 8:16] = 9  # a cell
    path = make_product(tmp_path, bands, scl=scl)
    model = Model(make_net().eval())
    made = predict_scene(path, model, resolution=160, min_valid=0.6, device="cpu")
    assert made.header.grid == Grid.over(
        TileGrid("EPSG:32632", 600_000, 5_200_020, 2400, 2400), 160
    )
    assert made.block.valid[0, 0] == 0.5
    assert made.block.valid.sum() == made.block.valid.size - 0.5
    assert made.block.clear is not None
    assert made.block.clear[1, 1] == 0
    assert made.block.clear.sum() == made.block.clear.size - 1
    assert np.isnan(made.block.probabilities[:, 0, 0]).all()
    assert np.isnan(made.block.probabilities[:, 1, 1]).all()
    assert np.isfinite(made.block.probabilities).all(axis=0).sum() == made.block.valid.size - 2


def test_an_area_changes_nothing_inside(scene):
    from pyproj import Transformer

    model = Model(make_net(trunk="shallow").eval())
    whole = predict_scene(scene, model, resolution=160, stride=600, device="cpu")
    tile = whole.header.grid.tile
    to_degrees = Transformer.from_crs(tile.crs, "EPSG:4326", always_xy=True)
    west, south = to_degrees.transform(tile.left + 700, tile.top - 1500)
    east, north = to_degrees.transform(tile.left + 1900, tile.top - 500)
    part = predict_scene(
        scene, model, resolution=160, stride=600, aoi=f"{west},{south},{east},{north}", device="cpu"
    )
    known = np.isfinite(part.block.probabilities[0])
    assert 40 < known.sum() < 90
    np.testing.assert_allclose(
        part.block.probabilities[:, known], whole.block.probabilities[:, known], atol=1e-6
    )
    assert (part.block.valid[~known] == 0).all()


@pytest.mark.parametrize("stride", [1200, 600])
@pytest.mark.parametrize("resolution", SIZES)
def test_every_cell_lies_in_a_patch(resolution, stride):
    tile = TileGrid("EPSG:32632", 600_000, 5_200_020, 10_980, 4_860)
    patches, cells = MapGrid(tile, stride), Grid.over(tile, resolution)
    geometry = LocatedCells(patches, cells)
    for lines, count in (
        ([geometry.row(i) for i in range(patches.shape[0])], cells.shape[0]),
        ([geometry.column(i) for i in range(patches.shape[1])], cells.shape[1]),
    ):
        seen = np.zeros(count)
        for line in lines:
            seen[line.cells] += line.weights
            assert (line.weights > 0).all()
            assert line.places.min() >= 0
            assert line.places.max() <= 1200
        assert (seen > 0).all()
    selected = np.zeros(cells.shape, bool)
    selected[7, 9] = True
    expected = np.zeros(patches.shape, bool)
    for row in range(patches.shape[0]):
        for column in range(patches.shape[1]):
            top, left = patches.patch_top(row), patches.patch_left(column)
            below, right = (7 + 1) * resolution, (9 + 1) * resolution
            expected[row, column] = (
                top < below and top + 1200 > 7 * resolution
                and left < right and left + 1200 > 9 * resolution
            )  # fmt: skip
    np.testing.assert_array_equal(geometry.patches_of(selected), expected)


def test_rows_of_overlapping_strips_count_once():
    cells = Grid.over(TileGrid("EPSG:32632", 600_000, 5_200_020, 2460, 2460), 160)
    rng = np.random.default_rng(0)
    mask = rng.random((246, 246)) < 0.5
    shares = ShareCounts(cells, 10)
    for top in (0, 600, 1260):
        shares.add(top, mask[top // 10 : top // 10 + 120])
    padded = np.pad(mask.astype(float), ((0, 10), (0, 10)), constant_values=np.nan)
    expected = np.nanmean(padded.reshape(16, 16, 16, 16), axis=(1, 3))
    np.testing.assert_allclose(shares.shares(slice(None)), expected, rtol=1e-6)


def test_every_output_takes_it(scene, tmp_path):
    model = Model(make_net(trunk="shallow").eval())
    options = MapOptions(device="cpu", resolution=160)
    output = OutputOptions(report=True)
    (result,) = map_scenes([scene], tmp_path / "map.tif", [model], options, output=output)
    made = read_map(result.files["probabilities"])
    assert made.header.grid.cell == 160
    assert made.header.grid.shape == (15, 23)
    assert all(path.stat().st_size for path in result.files.values())
    array = geolulc.predict_scene(scene, model, resolution=160, device="cpu")
    np.testing.assert_allclose(array.values, made.block.probabilities, atol=1e-6)


def test_what_cannot_be_placed_is_refused(scene):
    with pytest.raises(ParameterError, match=r"location with probe"):
        Mapper([make_model(Means())], MapOptions(resolution=320, device="cpu"))
    model = Model(make_net().eval())
    for wrong in ({"tta": True}, {"overlap": "shared", "stride": 600}):
        with pytest.raises(ParameterError, match=r"resolution 320 m: .*--stride 600"):
            Mapper([model], MapOptions(resolution=320, device="cpu", **wrong))
