"""Every call of the golden tests into geolulc's own Python interface is in this file.

All else goes through the command line and the files. Where the interface changes, only this file
is adapted: each function says what file must come of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from affine import Affine
from click.testing import CliRunner
from golden.values import hashed, hills
from make_scene import write_safe
from numpy.typing import NDArray

import geolulc
from geolulc.bands import BAND_NAMES, BANDS
from geolulc.cli import cli
from geolulc.grid import Extent, Grid, TileGrid
from geolulc.maps.header import MapBlock, MapHeader
from geolulc.nets import Calibration, Model, NetConfig, Normalisation, build_net, save_checkpoint
from geolulc.nomenclature import nomenclature
from geolulc.outputs.options import OutputOptions
from geolulc.outputs.story import SceneStory
from geolulc.outputs.writing import write_map

VERSION = geolulc.__version__
MODEL = {"name": "made", "sha256": "0" * 64}


def class_names(scheme: str = "ben19") -> tuple[str, ...]:
    """The classes of a nomenclature, in its order."""
    return nomenclature(scheme).names


def command(*arguments: object) -> str:
    """What ``geolulc ARGUMENTS`` prints; it must succeed."""
    result = CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)
    if result.exit_code:
        raise RuntimeError(f"geolulc {' '.join(map(str, arguments))}: {result.output}")
    return result.stdout


@dataclass(frozen=True)
class Place:
    """The ground of a map in metres, ``size`` of its cells or pixels included.

    ``part``: top, left, height and width in metres of what is mapped of it; None for all.
    """

    crs: str
    left: float
    top: float
    width: int
    height: int
    size: int
    part: tuple[int, int, int, int] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of cells or pixels."""
        height, width = (self.height, self.width) if self.part is None else self.part[2:]
        return -(-height // self.size), -(-width // self.size)

    @property
    def tile(self) -> TileGrid:
        return TileGrid(self.crs, self.left, self.top, self.width, self.height)


def scene_facts(name: str = "", time: str = "2024-06-25T10:10:31Z") -> dict[str, str]:
    """What a map says of the scene it was made from."""
    return {
        "name": name or "S2B_MSIL2A_20240625T101031_N0510_R022_T32TPS_20240625T151031",
        "sensing_time": time,
        "baseline": "05.10",
        "platform": "Sentinel-2B",
        "tile": "32TPS",
    }


def write_cells(
    path: Path,
    place: Place,
    values: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32] | None],
    outputs: Sequence[str],
    *,
    classes: Sequence[str],
    scheme: str = "ben19",
    scene: Mapping[str, str] | None = None,
    dtype: str = "float32",
    vector_format: str = "gpkg",
    cells: bool | None = None,
    backdrop: NDArray[np.uint8] | None = None,
    model: Path | None = None,
) -> None:
    """Write the map of cells ``path`` and what ``outputs`` names beside it.

    ``values``: probabilities, valid shares, clear shares; ``backdrop`` covers the whole tile;
    ``model`` is a checkpoint that STAC and report describe.
    """
    p, valid, clear = values
    header = MapHeader(
        grid=Grid.over(place.tile, place.size),
        classes=tuple(classes),
        nomenclature=nomenclature(scheme),
        patch_size=1200,
        thresholds=tuple((96 + 8 * (i % 7)) / 256 for i in range(len(classes))),
        scene=scene or scene_facts(),
        model=MODEL,
    )
    write_map(
        header,
        [MapBlock(0, 0, p, valid, clear)],
        path,
        options=OutputOptions(tuple(outputs), False, dtype, vector_format, cells),
        story=SceneStory(_described(model), backdrop=_placed(backdrop, place)),
    )


def write_pixels(
    path: Path,
    place: Place,
    steps: NDArray[np.uint8],
    outputs: Sequence[str],
    *,
    classes: Sequence[str],
    scheme: str = "ben19",
    scene: Mapping[str, str] | None = None,
    vector_format: str = "gpkg",
    min_area: float = 0.5,
    max_polygons: int = 250_000,
    backdrop: NDArray[np.uint8] | None = None,
    model: Path | None = None,
) -> None:
    """Write the map of pixels ``path`` and what ``outputs`` names beside it.

    ``steps``: probabilities (class, row, column) in steps of 1/250, 255 for no data.
    """
    tile = place.tile
    top, left, height, width = place.part or (0, 0, place.height, place.width)
    extent = Extent(tile.crs, tile.left + left, tile.top - top, width, height)
    header = MapHeader(
        grid=Grid(extent if place.part else tile, place.size, tile),
        classes=tuple(classes),
        nomenclature=nomenclature(scheme),
        exclusive=True,
        scene=scene or scene_facts(),
        model=MODEL,
        masked_scl=(3, 8, 9, 10),
    )
    options = OutputOptions(
        tuple(outputs), vector_format=vector_format, min_area=min_area, max_polygons=max_polygons
    )
    story = SceneStory(_described(model), backdrop=_placed(backdrop, place))
    write_map(header, _strips(steps), path, options=options, story=story)


def _strips(steps: NDArray[np.uint8]) -> Iterator[MapBlock]:
    """In heights that no block has."""
    row, turn = 0, 0
    while row < steps.shape[1]:
        height = (120, 57, 311)[turn % 3]
        yield MapBlock(row, 0, steps[:, row : row + height])
        row, turn = row + height, turn + 1


def _placed(image: NDArray[np.uint8] | None, place: Place) -> Any:
    if image is None:
        return None
    high, wide = place.height / image.shape[0], place.width / image.shape[1]
    return image, Affine(wide, 0.0, place.left, 0.0, -high, place.top)


def _described(model: Path | None) -> Mapping[str, Any] | None:
    from geolulc.nets import describe_model

    return None if model is None else describe_model(model)


#: Metres of the scene that networks are shown.
SCENE_WIDTH, SCENE_HEIGHT = 4800, 3900


def write_scene(folder: Path) -> Path:
    """A product of two hills a kilometre, with clouds and a corner without data."""
    bands = {}
    for index, band in enumerate(BANDS):
        rows, columns = SCENE_HEIGHT // band.resolution, SCENE_WIDTH // band.resolution
        dn = 2000 + 12 * hills(rows, columns, 480 // band.resolution, 50 + index)
        dn += hashed(80 + index, np.arange(rows)[:, None], np.arange(columns)[None, :]) % 300
        # one corner, the same ground in all bands
        dn[: 1500 // band.resolution, : 1500 // band.resolution] = 0
        bands[band.name] = dn.astype(np.uint16)
    scl = np.full((SCENE_HEIGHT // 20, SCENE_WIDTH // 20), 4, np.uint8)
    scl[hills(*scl.shape, 30, 99) > 190] = 9
    scl[hills(*scl.shape, 30, 98) > 210] = 3
    return write_safe(folder, bands, scl=scl, jp2_tiles={10: 250, 20: 130, 60: 50})


def write_model(path: Path, **config: Any) -> Path:
    """A small network whose weights come from a hash; ``config`` as of a training run."""
    net = build_net(
        NetConfig(**{"backbone": "test_resnet", **config}),
        classes=class_names(),
        nomenclature="ben19",
        normalisation=Normalisation(
            mean={name: 2500.0 + 10 * i for i, name in enumerate(BAND_NAMES)},
            std={name: 600.0 + 20 * i for i, name in enumerate(BAND_NAMES)},
        ),
        seed=0,
    )
    with torch.no_grad():
        for number, (name, tensor) in enumerate(net.named_parameters()):
            shape = tuple(tensor.shape)
            flat = hashed(7000 + number, np.arange(tensor.numel())) % 2001 - 1000
            values = torch.from_numpy(flat.reshape(shape) / 1000).to(tensor.dtype)
            if len(shape) > 1:
                inputs = tensor[0].numel()
                tensor.copy_(values * (6.0 / inputs) ** 0.5)
            elif name.endswith("weight"):
                tensor.copy_(1 + values / 4)
            else:
                tensor.copy_(values / 4)
    save_checkpoint(path, Model(net.eval(), name="golden", calibration=Calibration(1.25)))
    return path


def remove_lost(out: Path, *, pixels: bool, process: str, outputs: Sequence[str] = ()) -> None:
    """What a worker does before it maps a scene into ``out`` again, whose ``process`` was lost.

    ``outputs``: names as for ``--outputs``; none for the command's own.
    """
    _scene_work(out, pixels=pixels, outputs=outputs).remove_lost([process])


def answer_when_done(out: Path, model: Path, scene: Path, *, pixels: bool) -> Mapping[str, Path]:
    """Part → file, as a worker answers that is given a scene which a lost one had finished."""
    from geolulc.cluster.worker import Attempt

    mapper = _scene_work(out, pixels=pixels, model=model).prepare(1)
    try:
        return mapper(scene, Attempt(("lost-host-1",), lambda: None)).files
    finally:
        mapper.close()


def _scene_work(
    out: Path, *, pixels: bool, outputs: Sequence[str] = (), model: Path | None = None
) -> Any:
    from geolulc.cluster.model_files import ModelFile
    from geolulc.cluster.scenes import SceneWork
    from geolulc.mapping import MapOptions
    from geolulc.mapping.scenes import Writing

    output = OutputOptions(tuple(outputs)) if outputs else OutputOptions()
    models = () if model is None else (ModelFile.of(model),)
    return SceneWork(
        models,
        out,
        MapOptions(device="cpu", threads=1),
        Writing(output, exclusive=pixels),
        single=True,
        # any file that is there
        marker=out.parent,
    )
