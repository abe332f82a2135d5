"""Mapping at 10 m against its floor: decoding, and the forward pass of the same windows.

    python benchmarks/map_pixels.py SCENE --model PIXEL_MODEL [--rows 2] [--memory]

``--rows`` maps only the first rows of windows over the tile's whole width; default all. Ours
includes the default outputs. The floors run with the same threads: every JP2 tile decoded once and
nothing done with it; then whole windows of random numbers through the network, one thread a window
(mapping leaves out a border that windows say nothing of).
``--memory`` runs ``geolulc map`` over the same rows in a process of its own and prints its peak.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import geopandas
import numpy as np
import shapely
import torch

from geolulc.grid import TileGrid
from geolulc.mapping import MapOptions, Mapper, map_scenes
from geolulc.mapping.strips import StripReader
from geolulc.nets import load_checkpoint
from geolulc.outputs import OutputOptions
from geolulc.process import tune_memory
from geolulc.products import TRUE_COLOUR, open_scene


def area_of(tile: TileGrid, height: int, folder: Path) -> Path:
    """A file of the tile's upper part."""
    box = shapely.box(tile.left, tile.top - height, tile.left + tile.width, tile.top)
    path = folder / "area.gpkg"
    geopandas.GeoDataFrame(geometry=[box], crs=tile.crs).to_file(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--memory", action="store_true")
    arguments = parser.parse_args()
    tune_memory()  # as the command does
    scene, model = open_scene(arguments.scene), load_checkpoint(arguments.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Mapper([model], MapOptions(device="cpu")) as mapper:
            windows = mapper.ensemble.windows(scene.grid)
            tile = scene.grid
            rows = min(arguments.rows or windows.shape[0], windows.shape[0])
            # the row below reaches up by a ramp, and what is near an area is computed too
            height = min(tile.height, rows * windows.step - windows.ramp - 180)
            if rows == windows.shape[0]:
                height = tile.height
            area = area_of(tile, height, folder)
            selected = np.zeros(windows.shape, bool)
            selected[:rows] = True

            start = time.perf_counter()
            with (
                scene.opened(set(scene.images) - {TRUE_COLOUR}) as images,
                StripReader(
                    images, mapper.ensemble.bands, windows, mapper.decoders, selected=selected
                ) as reader,
            ):
                for row in reader.rows:
                    reader.read(row)
            decoding = time.perf_counter() - start

            groups = [
                torch.randn(len(names), windows.side // r, windows.side // r)
                for r, names in model.net.bands.items()
            ]
            net = mapper.ensemble._nets[0]

            def forward() -> None:
                with torch.inference_mode():
                    model.probabilities(net.classify(*(x[None] for x in groups)))

            forward()
            start = time.perf_counter()
            tasks = [mapper.networks.submit(0, "forward", forward) for _ in range(selected.sum())]
            for task in tasks:
                mapper.networks.result(task)
            forwards = time.perf_counter() - start

        options = MapOptions(device="cpu", aoi=area)
        if arguments.memory:
            command = [
                sys.executable, "-m", "geolulc", "map", str(arguments.scene), "--out",
                str(folder / "map.tif"), "--model", str(arguments.model), "--aoi", str(area),
                "--device", "cpu", "--quiet",
            ]  # fmt: skip
            ours = partial(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)
        else:
            ours = partial(
                map_scenes, [arguments.scene], folder / "map.tif", [model], options,
                output=OutputOptions(),
            )  # fmt: skip
        start = time.perf_counter()
        ours()
        wall = time.perf_counter() - start
    count = int(selected.sum())
    print(f"{count} windows of {windows.side} m, step {windows.step} m; {height} m of the tile")
    print(f"decoding                {decoding:7.1f} s")
    print(f"forward                 {forwards:7.1f} s   {forwards / count:.2f} s a window")
    ratio = wall / (decoding + forwards)
    print(f"geolulc map, 10 m       {wall:7.1f} s   {ratio:.2f} × (decoding + forward)")
    if arguments.memory:
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
        print(f"peak memory             {peak:7.2f} GB")


if __name__ == "__main__":
    main()
