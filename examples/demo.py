"""The demonstration: make a small scene, map it with the shipped models, say what to open.

    python examples/demo.py FOLDER

Runs the installed command line, as a user would.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from make_scene import make_demo_scene


def main(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    scene = make_demo_scene(folder)
    print(f"Made the scene {scene}", flush=True)
    for name, cells in (("map", ("--stride", "240")), ("map10m", ("--resolution", "10"))):
        command = ["map", str(scene), "--out", str(folder / f"{name}.tif"), *cells]
        print("$ geolulc " + " ".join(command), flush=True)
        subprocess.run([sys.executable, "-m", "geolulc", *command], check=True)
    print(
        f"""
Open in QGIS (each brings its own colours, names and legend):
  {folder}/map_classes.tif  most probable class of each 240 m cell
  {folder}/map.gpkg         the same as polygons, with area in hectares and mean probability
  {folder}/map.tif          probability of each of the 19 classes, one band a class
  {folder}/map10m.tif       one of nine classes for each pixel of 10 m
Or look at the pictures:
  {folder}/map.png          the map of cells with its legend
  {folder}/map10m.png       the map of pixels
The scene is synthetic and the models have seen few places: this shows the tool, not the land."""
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
