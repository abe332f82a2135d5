"""Two products cut from one landscape, mapped apart and put together, beside the map of the whole.

The network is one that a border changes up to its margin, as real ones are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import rasterio
from made_pixel_nets import Blurred, make_pixel_model
from made_product import make_product
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from geolulc.bands import BANDS
from geolulc.mapping import MapOptions, Mapper
from geolulc.mosaics import MosaicOptions, MosaicOutput, make_mosaic
from geolulc.outputs import OutputOptions, write_pixel_map
from geolulc.products import open_product

#: Metres: the landscape, and how far the products reach into it from both ends.
WIDTH, HEIGHT, PART = 9_600, 3_600, 6_000
LEFT, TOP = 600_000, 5_100_000


def landscape() -> dict[str, NDArray[np.uint16]]:
    """Rough at pixels and smooth over a kilometre, DN around 5,000."""
    rng = np.random.default_rng(1)
    shape = HEIGHT // 60, WIDTH // 60
    ground = gaussian_filter(rng.standard_normal(shape), 12) * 9_000
    ground += gaussian_filter(rng.standard_normal(shape), 2) * 6_000 + 5_000
    coarse = ground.clip(1_001, 12_000).astype(np.uint16)
    return {b.name: np.kron(coarse, np.ones((60 // b.resolution,) * 2, np.uint16)) for b in BANDS}


def cut(
    bands: Mapping[str, NDArray[np.uint16]], start: int, end: int
) -> dict[str, NDArray[np.uint16]]:
    return {b.name: bands[b.name][:, start // b.resolution : end // b.resolution] for b in BANDS}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, NDArray[np.uint8]]:
    """Probabilities of the first class: of the whole, of both parts, and of their mosaic."""
    folder = tmp_path_factory.mktemp("seams")
    bands = landscape()
    model = make_pixel_model(Blurred(reach=30, margin=300), mean=0, std=4_000)
    options = MapOptions(device="cpu", mask_scl=())
    found = {}
    paths = []
    for name, start, end in (
        ("whole", 0, WIDTH),
        ("west", 0, PART),
        ("east", WIDTH - PART, WIDTH),
    ):
        product = make_product(folder / name, cut(bands, start, end), ulx=LEFT + start, uly=TOP)
        path = folder / f"{name}.tif"
        with Mapper([model], options) as mapper, mapper.open(open_product(product)) as run:
            write_pixel_map(
                run.header,
                run.strips(),
                path,
                options=OutputOptions(("classes", "probabilities")),
            )
        with rasterio.open(path.with_name(f"{name}_probabilities.tif")) as dataset:
            found[name] = dataset.read(1)
        paths.append(path)
    out = folder / "mosaic.tif"
    output = MosaicOutput(("classes", "probabilities"))
    make_mosaic(paths[1:], out, MosaicOptions(), output)
    with rasterio.open(folder / "mosaic_probabilities.tif") as dataset:
        found["mosaic"] = dataset.read(1)
    return found


def test_it_is_the_map_of_the_whole(made: dict[str, NDArray[np.uint8]]) -> None:
    """To a step of 1 / 250, on both sides of the borders and across; the parts are not."""
    difference = np.abs(made["mosaic"].astype(int) - made["whole"])
    assert difference.max() <= 1
    first = (WIDTH - PART) // 10
    for part, columns in (("west", np.s_[:, : PART // 10]), ("east", np.s_[:, first:])):
        off = np.abs(made[part].astype(int) - made["whole"][columns])
        edge = np.s_[:, -30:] if part == "west" else np.s_[:, :30]
        assert off[edge].max() > 25


def test_borders_are_as_steep_as_elsewhere(made: dict[str, NDArray[np.uint8]]) -> None:
    """Where a product ends: by a plain mean of the two, steps there would be larger."""
    first, last = (WIDTH - PART) // 10, PART // 10
    plain = made["whole"].astype(float)
    plain[:, :last] = made["west"]
    plain[:, first:last] += made["east"][:, : last - first]
    plain[:, first:last] /= 2
    plain[:, last:] = made["east"][:, last - first :]
    at = np.array([first - 1, last - 1])
    steps = {
        name: np.abs(np.diff(p.astype(float), axis=1)).mean(axis=0)
        for name, p in (("whole", made["whole"]), ("mosaic", made["mosaic"]), ("plain", plain))
    }
    # against the landscape's own steps there, and along a row against those everywhere
    assert steps["mosaic"][at] == pytest.approx(steps["whole"][at], rel=0.15)
    assert steps["mosaic"].mean() == pytest.approx(steps["whole"].mean(), rel=0.02)
    assert (steps["mosaic"][at] < 1.5 * steps["mosaic"].mean()).all()
    assert (steps["plain"][at] > 3 * steps["whole"][at]).all()
