"""Products cut from one landscape, mapped apart and put together, beside the map of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from made_mosaics import mosaic, read
from made_nets import make_net
from made_pixel_nets import Blurred, make_pixel_model
from made_product import make_product, random_bands
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from geolulc.bands import BANDS
from geolulc.mapping import MapOptions, map_scenes
from geolulc.nets import Model
from geolulc.outputs.options import OutputOptions

Bands = Mapping[str, NDArray[np.uint16]]


def cut(folder: Path, bands: Bands, tile: str, start: int, end: int) -> Path:
    """The landscape from ``start`` to ``end`` metres from its left, as a product."""
    part = {b.name: bands[b.name][:, start // b.resolution : end // b.resolution] for b in BANDS}
    return make_product(folder, part, tile=tile, ulx=600_000 + start)


def map_parts(
    folder: Path,
    bands: Bands,
    parts: Mapping[str, tuple[int, int]],
    model: Model,
    options: MapOptions,
    outputs: tuple[str, ...],
) -> list[Path]:
    """map.tif of each part, which starts and ends at so many metres from the left."""
    scenes = [cut(folder, bands, tile, *ends) for tile, ends in parts.items()]
    output = OutputOptions(outputs)
    results = map_scenes(scenes, folder / "maps", [model], options, output=output)
    assert [result.error for result in results] == [None] * len(results)
    return [list(result.files.values())[-1] for result in results]


def test_cells_of_three_products_are_those_of_the_whole(tmp_path: Path) -> None:
    width = 7_200
    parts = {"32TPS": (0, width), "32TQS": (0, 4_800), "32TRS": (2_400, width)}
    model = Model(make_net().eval(), name="made", sha256="0" * 64)
    options = MapOptions(stride=240, device="cpu", threads=1, mask_scl=())
    outputs = ("probabilities", "uncertainty")
    bands = random_bands(width, 2_400)
    whole, *paths = map_parts(tmp_path, bands, parts, model, options, outputs)
    found, expected = read(mosaic(tmp_path, paths, outputs)), read(whole)
    # what the rule is for: near their inner edges the parts saw other ground than the whole did
    west = read(paths[0])
    assert np.abs(west[:, :, -2:] - expected[:, :, 18:20]).max() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-6)


#: Metres: the landscape of the pixels, and how far the products reach into it from both ends.
WIDTH, HEIGHT, PART = 9_600, 3_600, 6_000


def landscape() -> Bands:
    """Rough at pixels and smooth over a kilometre, DN around 5,000."""
    rng = np.random.default_rng(1)
    shape = HEIGHT // 60, WIDTH // 60
    ground = gaussian_filter(rng.standard_normal(shape), 12) * 9_000
    ground += gaussian_filter(rng.standard_normal(shape), 2) * 6_000 + 5_000
    coarse = ground.clip(1_001, 12_000).astype(np.uint16)
    return {b.name: np.kron(coarse, np.ones((60 // b.resolution,) * 2, np.uint16)) for b in BANDS}


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, NDArray[np.uint8]]:
    """Probabilities of the first class: of the whole, of both parts, and of their mosaic.

    The network is one that a border changes up to its margin, as real ones are.
    """
    folder = tmp_path_factory.mktemp("seams")
    parts = {"32TPS": (0, WIDTH), "32TQS": (0, PART), "32TRS": (WIDTH - PART, WIDTH)}
    model = make_pixel_model(Blurred(reach=30, margin=300), mean=0, std=4_000)
    options = MapOptions(device="cpu", mask_scl=())
    outputs = ("classes", "probabilities")
    paths = map_parts(folder, landscape(), parts, model, options, outputs)
    paths.append(mosaic(folder, paths[1:], outputs))
    names = ("whole", "west", "east", "mosaic")
    return {n: read(p, "probabilities")[0] for n, p in zip(names, paths, strict=True)}


def test_pixels_of_two_products_are_those_of_the_whole(
    pixels: dict[str, NDArray[np.uint8]],
) -> None:
    """To a step of 1 / 250, on both sides of the borders and across; the parts are not."""
    difference = np.abs(pixels["mosaic"].astype(int) - pixels["whole"])
    assert difference.max() <= 1
    first = (WIDTH - PART) // 10
    for part, columns in (("west", np.s_[:, : PART // 10]), ("east", np.s_[:, first:])):
        off = np.abs(pixels[part].astype(int) - pixels["whole"][columns])
        edge = np.s_[:, -30:] if part == "west" else np.s_[:, :30]
        assert off[edge].max() > 25


def test_borders_are_as_steep_as_elsewhere(pixels: dict[str, NDArray[np.uint8]]) -> None:
    """Where a product ends: by a plain mean of the two, steps there would be larger."""
    first, last = (WIDTH - PART) // 10, PART // 10
    plain = pixels["whole"].astype(float)
    plain[:, :last] = pixels["west"]
    plain[:, first:last] += pixels["east"][:, : last - first]
    plain[:, first:last] /= 2
    plain[:, last:] = pixels["east"][:, last - first :]
    at = np.array([first - 1, last - 1])
    steps = {
        name: np.abs(np.diff(p.astype(float), axis=1)).mean(axis=0)
        for name, p in (("whole", pixels["whole"]), ("mosaic", pixels["mosaic"]), ("plain", plain))
    }
    # against the landscape's own steps there, and along a row against those everywhere
    assert steps["mosaic"][at] == pytest.approx(steps["whole"][at], rel=0.15)
    assert steps["mosaic"].mean() == pytest.approx(steps["whole"].mean(), rel=0.02)
    assert (steps["mosaic"][at] < 1.5 * steps["mosaic"].mean()).all()
    assert (steps["plain"][at] > 3 * steps["whole"][at]).all()
