"""Maps by models with a geographic prior: shifted where labels are known, said, and optional."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from click.testing import CliRunner
from made_nets import make_net, make_prior
from made_product import make_product, random_bands
from pyproj import Transformer
from scipy.special import logit

from geolulc.cli import cli
from geolulc.datasets.domain import degrees
from geolulc.mapping import MapOptions, predict_scene
from geolulc.mapping.cells import PatchCells
from geolulc.mapping.inference import Ensemble
from geolulc.nets import Model, save_checkpoint
from geolulc.nomenclature import BEN19
from geolulc.products import open_scene, patches_of

SHIFTS = np.linspace(-2, 2, 19)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_product(tmp_path_factory.mktemp("scene"), random_bands())


def a_model(product: Path, away: float = 0.0) -> Model:
    """One that knows labels at the scene's middle, or so many degrees to the north."""
    longitude, latitude = open_scene(product).grid.centre
    prior = make_prior((longitude, latitude + away), SHIFTS)
    return Model(make_net(geographic_prior=prior).eval(), name="here")


@pytest.mark.parametrize("resolution", [None, 320])
def test_probabilities_are_shifted_to_the_place(product: Path, resolution: int | None) -> None:
    plain = predict_scene(product, Model(make_net().eval()), device="cpu", resolution=resolution)
    model, options = a_model(product), {"device": "cpu", "resolution": resolution}
    shifted = predict_scene(product, model, **options)
    without = predict_scene(product, model, geographic_prior=False, **options)
    np.testing.assert_array_equal(without.block.probabilities, plain.block.probabilities)
    moved = logit(shifted.block.probabilities) - logit(plain.block.probabilities)
    # of cells inside patches, logits beyond 8 are bent, and the mean alone is that of the patch
    whole = np.broadcast_to(SHIFTS[:, None, None], moved.shape)
    np.testing.assert_allclose(moved, whole, atol=2e-3)


@pytest.mark.parametrize("overlap", ["exact", "shared"])
def test_each_patch_has_the_shift_of_its_own_middle(product: Path, overlap: str) -> None:
    scene, near = open_scene(product), 0.01
    longitude, latitude = scene.grid.centre
    net = make_net(
        geographic_prior=make_prior(
            [(longitude - near, latitude), (longitude + near, latitude)], [SHIFTS, -SHIFTS], 20
        )
    ).eval()
    options = {"device": "cpu", "stride": 300, "overlap": overlap}
    shifted, plain = (
        predict_scene(product, Model(net), geographic_prior=on, **options) for on in (True, False)
    )
    windows = patches_of(scene, stride=300)
    rows, columns = windows.shape
    x = [scene.grid.left + windows.patch_left(column) + 600 for column in range(columns)]
    y = [scene.grid.top - windows.patch_top(row) - 600 for row in range(rows)]
    to_degrees = Transformer.from_crs(scene.grid.crs, 4326, always_xy=True)
    expected = net.geographic_prior.at(*to_degrees.transform(*np.meshgrid(x, y)))
    moved = logit(shifted.block.probabilities) - logit(plain.block.probabilities)
    np.testing.assert_allclose(moved, np.moveaxis(expected, -1, 0), atol=1e-3)
    assert np.ptp(expected, axis=1).max() > 1e-3


def test_both_doors_shift_alike(product: Path) -> None:
    """What ``score`` adds to a patch is what a map adds to it."""
    scene = open_scene(product)
    prior = make_prior(np.add(scene.grid.centre, 0.1), SHIFTS, 20)
    cells = PatchCells(
        Ensemble([Model(make_net(geographic_prior=prior).eval())], torch.device("cpu")),
        scene,
        MapOptions(stride=1200),
        batch_size=1,
    )
    windows = patches_of(scene)
    left = scene.grid.left + windows.patch_left(0)
    top = scene.grid.top - windows.patch_top(0)
    place = degrees(np.array([scene.grid.crs]), np.array([left + 600]), np.array([top - 600]))
    (found,) = cells._shifts(0, np.array([0]))
    np.testing.assert_allclose(found, prior.at(*place.T), atol=1e-9)


def test_part_of_a_scene_is_shifted_as_the_whole(product: Path) -> None:
    model, grid = a_model(product), open_scene(product).grid
    longitude, latitude = grid.centre
    box = f"{longitude - 0.001},{latitude - 0.001},{longitude + 0.001},{latitude + 0.001}"
    whole, part = (predict_scene(product, model, aoi=aoi, device="cpu") for aoi in (None, box))
    row, column = (round(float(x)) for x in part.header.grid.inset)
    size = part.header.grid.cell
    cells = whole.block.probabilities[:, row // size :, column // size :]
    inside = part.block.probabilities
    np.testing.assert_allclose(inside, cells[:, : inside.shape[1], : inside.shape[2]], atol=1e-6)


def mapped(product: Path, model: Model, folder: Path, *options: str) -> tuple[str, dict[str, str]]:
    """Output of ``geolulc map`` and the tags of the map."""
    save_checkpoint(folder / "here.safetensors", model)
    arguments = ["map", str(product), "--out", str(folder / "map.tif"), "--device", "cpu"]
    result = CliRunner().invoke(
        cli, [*arguments, "--model", str(folder / "here.safetensors"), "--quiet", *options]
    )
    assert result.exit_code == 0, result.output
    with rasterio.open(folder / "map.tif") as image:
        return result.output, image.tags()


def test_the_terminal_and_the_map_say_so(product: Path, tmp_path: Path) -> None:
    told, tags = mapped(product, a_model(product), tmp_path)
    most = f"{BEN19.names[18]} +2.0, {BEN19.names[0]} -2.0, {BEN19.names[17]} +1.8"
    assert tags["MODEL_PRIOR"] == most
    assert "Not from the image alone: probabilities are shifted to how often labels near" in told
    assert f"most those of {most} (logits). --no-geographic-prior leaves this out." in told


@pytest.mark.parametrize(("away", "options"), [(0.0, ["--no-geographic-prior"]), (5.0, [])])
def test_without_a_shift_nothing_is_said(
    product: Path, tmp_path: Path, away: float, options: list[str]
) -> None:
    told, tags = mapped(product, a_model(product, away), tmp_path, *options)
    assert "MODEL_PRIOR" not in tags
    assert "Not from the image alone" not in told
