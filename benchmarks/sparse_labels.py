"""What 1 % of the ground labelled is worth beside all of it, on made landscapes. Minutes.

    python benchmarks/sparse_labels.py FOLDER [--size 9600] [--share 0.01] [--set steps=160 …]

Makes two landscapes of ``examples/make_scene.py``, on which a pixel alone is ambiguous (clutter 5).
Two networks start from a shipped one and learn the first, as ``examples/few_labels.toml`` has it:
one from full masks (``label --reference``), one from small polygons within its covers (``label
--polygons``). Each then teaches another one on all of that landscape, without labels
(``examples/taught_again.toml``). They, and a random forest of the polygons' pixels, are scored on
all pixels of the other. Prints mIoU and agreement, and how far the polygons are behind; FOLDER
keeps stores and runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import rasterio.features
from numpy.typing import NDArray
from scipy.ndimage import label
from shapely.geometry import shape

from geolulc.bands import GROUPS
from geolulc.datasets import open_store
from geolulc.labelling import LabelOptions, label_scenes, open_reference, read_features
from geolulc.learning import TrainConfig, train
from geolulc.learning.baseline import score_forest
from geolulc.learning.config import parse_setting, read_config
from geolulc.learning.patches import SplitPatches
from geolulc.learning.pixel_evaluation import evaluate_pixels
from geolulc.learning.task import Task
from geolulc.nets import load_checkpoint
from geolulc.nomenclature import BEN19

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from make_scene import COVERS, make_landscape, write_safe, write_truth

RECIPE_FILE = Path(__file__).resolve().parents[1] / "examples" / "few_labels.toml"
AGAIN_FILE = RECIPE_FILE.with_name("taught_again.toml")
#: Landscape → seed.
SEEDS = {"own": 3, "unseen": 21}
#: Side in pixels of the squares that polygons lie in: of 0.36 ha at most.
SIDE = 6
#: Polygons of a class at least, as docs/own-labels.md advises.
LEAST = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=9600, help="metres, a multiple of 1200")
    parser.add_argument("--share", type=float, default=0.01, help="of the ground in polygons")
    parser.add_argument("--set", action="append", default=[], help="a setting, key=value")
    parser.add_argument("--seed", type=int, default=0, help="of polygons and networks")
    options = parser.parse_args()
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    scenes = {name: make(folder / name, seed, options.size) for name, seed in SEEDS.items()}
    stores = {name: full_store(folder / f"{name}.store", *scenes[name]) for name in scenes}
    stores["polygons"] = sparse_store(folder / f"polygons-{options.seed}.store", *scenes["own"],
                                      share=options.share, seed=options.seed)  # fmt: skip
    unseen = open_store(stores["unseen"])
    everything = np.arange(len(unseen))
    figures = {}
    for name in ("own", "polygons"):
        store = open_store(stores[name])
        # all patches but those of the fold that validates
        folds = np.array(store.column("fold"))
        task = Task(train=np.flatnonzero(folds != 1), val=np.flatnonzero(folds == 1))
        config = TrainConfig.from_mapping(
            read_config(RECIPE_FILE)
            | {"seed": options.seed, "workers": 0}
            | dict(map(parse_setting, options.set))
        )
        run = folder / "-".join(["run", name, str(options.seed), *options.set])
        train(stores[name], run, config, task=task, resume=run.exists())
        again = folder / f"{run.name}-again"
        whole = len(open_store(stores["own"]))
        taught = TrainConfig.from_mapping(
            read_config(AGAIN_FILE) | {"seed": options.seed, "workers": 0, "teacher": str(run)}
        )
        task = Task(train=np.arange(whole), val=np.array([], np.int64), plots=False)
        train(stores["own"], again, taught, task=task, resume=again.exists())
        for kind, trained in ((name, run), (f"{name}, taught again", again)):
            found = evaluate_pixels(load_checkpoint(trained), unseen, "test", indices=everything)
            figures[kind] = found.figures
            miou, agreement = (found.figures[key] for key in ("miou", "agreement"))
            print(f"{kind:22} mIoU {miou:.4f}, agreement {agreement:.4f}", flush=True)
    sparse = open_store(stores["polygons"])
    forest = score_forest(
        SplitPatches(sparse, "train", np.arange(len(sparse)), masks=True),
        SplitPatches(unseen, "test", everything, masks=True),
        GROUPS,
        seed=options.seed,
    )
    print(f"forest of the polygons ({forest.learned} pixels): mIoU {forest.figures['miou']:.4f}")
    for kind in ("", ", taught again"):
        behind = figures[f"own{kind}"]["miou"] - figures[f"polygons{kind}"]["miou"]
        print(f"polygons behind full masks{kind}: {100 * behind:.1f} points of mIoU")


def make(folder: Path, seed: int, size: int) -> tuple[Path, Path, NDArray[np.uint8]]:
    """A product of a landscape, its truth, and the cover of each pixel."""
    landscape = make_landscape(size, seed, clutter=5.0)
    found = list(folder.glob("*.SAFE")) if folder.exists() else []
    if not found:
        folder.mkdir(parents=True, exist_ok=True)
        found = [write_safe(folder, landscape.bands, baseline="02.14", scl=landscape.scl)]
        write_truth(found[0], landscape.cover)
    return found[0], next(folder.glob("*_truth.tif")), landscape.cover


def full_store(out: Path, scene: Path, truth: Path, _: NDArray[np.uint8]) -> Path:
    """All pixels labelled, in blocks of a patch."""
    if not out.exists():
        options = LabelOptions(block_size=1200, mask_scl=())
        with open_reference(truth, options, class_file="ben19") as labels:
            label_scenes([scene], labels, out, options)
    return out


def sparse_store(
    out: Path, scene: Path, truth: Path, cover: NDArray[np.uint8], *, share: float, seed: int
) -> Path:
    """Pieces of covers as polygons, drawn at random, until they hold ``share`` of the ground."""
    if out.exists():
        return out
    with rasterio.open(truth) as dataset:
        transform, crs = dataset.transform, dataset.crs.to_string()
    rng = np.random.default_rng(seed)
    taken = np.zeros(cover.shape, bool)
    shapes, names = [], []
    for drawn in _classes_to_draw(cover, share, rng):
        piece = _piece(cover, drawn, taken, rng)
        taken |= piece
        outlines = rasterio.features.shapes(piece.astype(np.uint8), piece, transform=transform)
        shapes += [shape(outline) for outline, _ in outlines]
        names.append(COVERS[drawn].name)
        if taken.sum() >= share * cover.size:
            break
    path = out.with_suffix(".gpkg")
    geopandas.GeoDataFrame({"cover": names}, geometry=shapes, crs=crs).to_file(path)
    options = LabelOptions(block_size=1200, mask_scl=())
    labels = read_features(path, "cover", options, nomenclature=BEN19)
    label_scenes([scene], labels, out, options)
    return out


def _classes_to_draw(
    cover: NDArray[np.uint8], share: float, rng: np.random.Generator
) -> Iterator[int]:
    """The cover of one piece after the other: ``LEAST`` of each, then as often as it is there."""
    there = np.unique(cover)
    yield from rng.permutation(np.repeat(there, LEAST)).tolist()
    while True:
        yield int(cover[tuple(rng.integers(0, cover.shape))])


def _piece(
    cover: NDArray[np.uint8], drawn: int, taken: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """A connected piece of the cover ``drawn`` in a square of ``SIDE`` pixels, of none taken."""
    free = np.argwhere((cover == drawn) & ~taken)
    row, column = free[rng.integers(len(free))]
    top, left = (int(np.clip(at - SIDE // 2, 0, n - SIDE))
                 for at, n in zip((row, column), cover.shape, strict=True))  # fmt: skip
    here = np.s_[top : top + SIDE, left : left + SIDE]
    parts, _ = label((cover[here] == drawn) & ~taken[here])
    piece = np.zeros(cover.shape, bool)
    piece[here] = parts == parts[row - top, column - left]
    return piece


if __name__ == "__main__":
    main()
