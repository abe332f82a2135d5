"""A picture of classes that have a place in their patches, and of classes that have none.

    python examples/location_picture.py SCENE OUT.png CLASS CLASS [--model M] [--resolution 160]

Beside the true colours, a row a class: its probability by patches of 1200 m, and on the cells
inside them. A class without contrast keeps the patch's value in all its cells.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from affine import Affine
from matplotlib.figure import Figure

from geolulc.mapping import predict_scene
from geolulc.maps.header import MapHeader
from geolulc.nets import load_checkpoint
from geolulc.products import open_product, true_colour

SHIPPED = Path(__file__).parents[1] / "models" / "bigearthnet-few-patches.safetensors"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("classes", nargs=2)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--resolution", type=int, default=160)
    options = parser.parse_args()
    product, model = open_product(options.scene), load_checkpoint(options.model)
    maps = {
        "patches of 1200 m": predict_scene(product, model),
        f"cells of {options.resolution} m": predict_scene(
            product, model, resolution=options.resolution
        ),
    }
    figure = Figure(figsize=(10.4, 7.0), dpi=100, layout="constrained")
    panels = figure.subplot_mosaic([["scene", "00", "01"], ["none", "10", "11"]])
    panels["none"].axis("off")
    picture, transform = true_colour(product)
    panels["scene"].imshow(picture, extent=_extent(transform, picture.shape[:2]))
    panels["scene"].set_title("true colours", fontsize=9, loc="left")
    for row, name in enumerate(options.classes):
        for column, (way, found) in enumerate(maps.items()):
            panel, header = panels[f"{row}{column}"], found.header
            shown = panel.imshow(
                found.block.shares[header.classes.index(name)],
                extent=_extent(header.grid.transform, header.grid.shape),
                vmin=0,
                vmax=1,
                cmap="viridis",
                interpolation="nearest",
            )
            panel.set_title(f"{_short(header, name)}, {way}", fontsize=9, loc="left")
    for panel in panels.values():
        panel.set(xticks=[], yticks=[])
        panel.set_xlim(product.grid.left, product.grid.left + product.grid.width)
        panel.set_ylim(product.grid.top - product.grid.height, product.grid.top)
    figure.colorbar(shown, ax=panels["none"], location="top", shrink=0.8, label="probability")
    figure.savefig(options.out)


def _short(header: MapHeader, name: str) -> str:
    return header.land_cover[header.classes.index(name)].short


def _extent(transform: Affine, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    right, bottom = transform * (shape[1], shape[0])
    return transform.c, right, bottom, transform.f


if __name__ == "__main__":
    main()
