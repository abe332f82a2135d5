"""Map a scene from Python: probabilities as an array with coordinates, one class as a GeoTIFF.

    python examples/scene_in_python.py SCENE OUT.tif

Prints the classes by their mean probability, and writes that of the first where the sky was clear.
"""

from __future__ import annotations

import sys

import geolulc


def main(path: str, out: str) -> None:
    scene = geolulc.open_scene(path)
    # the shipped model; a checkpoint or a list of them is taken too
    probabilities = geolulc.predict_scene(scene, stride=600)  # xarray (class, y, x)
    if "clear" in probabilities.coords:
        probabilities = probabilities.where(probabilities.clear > 0.9)
    means = probabilities.mean(["y", "x"]).sortby(probabilities.mean(["y", "x"]), ascending=False)
    for name, mean in zip(means["class"].values, means.values, strict=True):
        print(f"{mean:.3f}  {name}")
    first = probabilities.sel({"class": means["class"][0].item()})
    first.rio.to_raster(out)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
