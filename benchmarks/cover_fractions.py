"""Are areas of cover fractions areas? Two and a half minutes on one core.

    python benchmarks/cover_fractions.py FOLDER [--epochs 12] [--size 12000] …

Makes landscapes of several seeds (``examples/make_scene.py``), cuts patches with reference maps
out of some of them into a store, trains a model of fractions (``--task fraction``) and a model of
patches of the same network, and maps landscapes of other seeds with both. Prints, against the
truth of these, the area of each class as the fractions have it, as the most extensive class of
each cell has it, and as the most probable class of the model of patches has it, and exits with 1
unless the mean error of the first is at most a third of that of each of the others. FOLDER keeps
store and models for the next call.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolulc.datasets import Lists, prepare_store
from geolulc.learning import TrainConfig, train
from geolulc.mapping import MapOptions, predict_scene
from geolulc.maps.areas import ground_areas
from geolulc.maps.header import LandCoverMap
from geolulc.nets import Model, load_checkpoint
from geolulc.nomenclature import BEN19
from geolulc.products import array_scene

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from make_archive import Scene, clc_codes, write_archive
from make_scene import COVERS, Landscape, make_landscape

#: The error of the fractions as a share of the others'.
WANTED = 1 / 3
_PLACE = {"crs": "EPSG:32632", "transform": (10, 0, 600_000, 0, -10, 5_200_020)}


def main() -> None:
    options = _parse()
    store = _prepare(options)
    models = {task: _train(store, options, task) for task in ("fraction", "patch")}
    names = ("truth", "fractions", "most extensive", "most probable")
    hectares = {name: np.zeros(len(BEN19)) for name in names}
    for seed in _seeds(options.test):
        made = make_landscape(options.size, seed, options.clutter)
        hectares["truth"] += _truth(made)
        for task, model in models.items():
            found = _map(made, model, options.stride)
            largest = "most extensive" if task == "fraction" else "most probable"
            hectares[largest] += _of_largest(found)
            if task == "fraction":
                hectares["fractions"] += _of_fractions(found)
    truth = hectares["truth"]
    there = np.flatnonzero(truth)
    print(f"{'hectares':<32}" + "".join(f"{name:>16}" for name in names))
    for c in there:
        shown = "".join(f"{hectares[name][c]:>16,.1f}" for name in names)
        print(f"{BEN19.names[c][:30]:<32}{shown}")
    errors = {name: np.abs(hectares[name] - truth)[there] / truth[there] for name in names[1:]}
    for name, error in errors.items():
        print(f"{name:<16} error of a class's area: {error.mean():.1%}, at most {error.max():.1%}")
    ours, *others = (error.mean() for error in errors.values())
    print(f"share of the others' error: {', '.join(f'{ours / other:.2f}' for other in others)}")
    sys.exit(int(any(ours > WANTED * other for other in others)))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=12_000, help="metres of a landscape")
    parser.add_argument("--clutter", type=float, default=1.0, help="of the landscapes")
    parser.add_argument("--train", default="1,2,3,4,5", help="seeds")
    parser.add_argument("--val", default="7,8", help="seeds")
    parser.add_argument("--test", default="21,22,23,24", help="seeds")
    parser.add_argument("--stride", type=int, default=1200, help="metres of a cell")
    parser.add_argument("--backbone", default="test_resnet")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=3e-3)
    return parser.parse_args()


def _seeds(text: str) -> list[int]:
    return [int(seed) for seed in text.split(",")]


def _prepare(options: argparse.Namespace) -> Path:
    store = options.folder / "patches.store"
    if not store.exists():
        options.folder.mkdir(parents=True, exist_ok=True)
        codes = clc_codes([cover.name for cover in COVERS])
        scenes = []
        for split in ("train", "val"):
            for seed in _seeds(getattr(options, split)):
                made = make_landscape(options.size, seed, options.clutter)
                scenes.append(Scene(made.bands, codes[made.cover], split))
        archive = write_archive(options.folder / "archive", scenes)
        prepare_store(archive, store, lists=Lists(), reference_maps=True)
    return store


def _train(store: Path, options: argparse.Namespace, task: str) -> Model:
    config = TrainConfig(
        task=task,
        backbone=options.backbone,
        epochs=options.epochs,
        batch_size=options.batch,
        learning_rate=options.rate,
        ema_decay=0.98,
    )
    run = options.folder / f"run-{task}"
    train(store, run, config, resume=True)
    return load_checkpoint(run)


def _map(made: Landscape, model: Model, stride: int) -> LandCoverMap:
    scene = array_scene(made.bands, offset=0, **_PLACE)
    return predict_scene(scene, [model], MapOptions(stride=stride, mask_scl=()))


def _truth(made: Landscape) -> NDArray[np.float64]:
    counts = np.bincount(made.cover.ravel(), minlength=len(COVERS)) / 100
    found = np.zeros(len(BEN19))
    for cover, hectares in zip(COVERS, counts, strict=True):
        found[BEN19.index(cover.name)] += hectares
    return found


def _of_fractions(found: LandCoverMap) -> NDArray[np.float64]:
    return (found.block.shares * _areas(found)).sum(axis=(1, 2))


def _of_largest(found: LandCoverMap) -> NDArray[np.float64]:
    first = found.block.shares.argmax(axis=0)
    return np.bincount(first.ravel(), _areas(found).ravel(), minlength=len(BEN19))


def _areas(found: LandCoverMap) -> NDArray[np.float64]:
    """Hectares of the cells, with the projection's ground as the truth's: as many in all."""
    areas = ground_areas(found.header.grid, found.header.unit.areas)
    extent = found.header.grid.extent
    return areas * (extent.width * extent.height / 10_000 / areas.sum())


if __name__ == "__main__":
    main()
