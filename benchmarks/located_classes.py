"""Whether a model that was taught with patch labels finds the place of its classes.

Scenes of made landscapes (``make_safe.py``) come with the class of every 10 m pixel. A model is
trained on patches of some scenes, with the classes that cover a share of the patch as labels and
nothing else; it maps other scenes, as patches and by its evidence, and both are compared with the
majority class of each 160 m cell.

    python benchmarks/located_classes.py --train S1 S2 … --test T1 … [--minutes 8]

Folders hold one ``.SAFE`` and its ``_truth.tif`` each. Patch maps come at a stride of 120 m; a cell
takes the patch whose centre is nearest to its own.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import rasterio
import torch

import geolulc
from geolulc.bands import GROUPS, RESOLUTIONS
from geolulc.grid import MapGrid
from geolulc.mapping import predict_scene
from geolulc.nets import (
    Model,
    NetConfig,
    Normalisation,
    build_net,
    load_checkpoint,
    save_checkpoint,
)
from geolulc.nomenclature import BEN19

PATCH = 120
CELL = 160


def truth_of(folder: Path) -> np.ndarray:
    """Index of each 10 m pixel's class in the nomenclature."""
    legend = json.loads(next(folder.glob("*_truth.json")).read_text())["classes"]
    with rasterio.open(next(folder.glob("*_truth.tif"))) as file:
        codes = file.read(1)
    table = np.zeros(256, np.int64)
    for code, entry in legend.items():
        table[int(code)] = BEN19.names.index(entry["ben19"])
    return table[codes]


def patches_of(folder: Path, step: int, least: float) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Reflectance DN of patches every ``step`` pixels, and their labels."""
    product = geolulc.open_product(next(folder.glob("*.SAFE")))
    truth = truth_of(folder)
    images = {}
    for r in RESOLUTIONS:
        bands = []
        for name in GROUPS[r]:
            with rasterio.open(product.band_files[name]) as file:
                dn = file.read(1).astype(np.int32) + product.offsets[name]
            bands.append(np.maximum(dn, 1).astype(np.int16))
        images[r] = np.stack(bands)
    groups: dict[int, list[np.ndarray]] = {r: [] for r in RESOLUTIONS}
    labels = []
    for top in range(0, truth.shape[0] - PATCH + 1, step):
        for left in range(0, truth.shape[1] - PATCH + 1, step):
            counts = np.bincount(
                truth[top : top + PATCH, left : left + PATCH].ravel(), minlength=len(BEN19.names)
            )
            labels.append(counts >= least * PATCH * PATCH)
            for r in RESOLUTIONS:
                f, side = r // 10, 1200 // r
                groups[r].append(
                    images[r][:, top // f : top // f + side, left // f : left // f + side]
                )
    return (
        [torch.from_numpy(np.stack(groups[r])) for r in RESOLUTIONS],
        torch.from_numpy(np.stack(labels)).float(),
    )


def train(folders: list[Path], config: NetConfig, minutes: float, least: float) -> Model:
    """A model of patch labels; its loss falls for ``minutes``."""
    parts = [patches_of(folder, 80, least) for folder in folders]
    groups = [torch.cat([part[0][i] for part in parts]) for i in range(3)]
    labels = torch.cat([part[1] for part in parts])
    mean, std = {}, {}
    for r, x in zip(RESOLUTIONS, groups, strict=True):
        for i, name in enumerate(GROUPS[r]):
            band = x[::7, i].float()
            mean[name], std[name] = float(band.mean()), float(band.std())
    net = build_net(
        config,
        classes=BEN19.names,
        nomenclature=BEN19.id,
        normalisation=Normalisation(mean, std),
        seed=0,
    )
    optimizer = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.01)
    loss_of = torch.nn.BCEWithLogitsLoss()
    generator = torch.Generator().manual_seed(0)
    start, done, epoch, losses = time.monotonic(), 0.0, 0, []
    print(f"{len(labels)} patches, {labels.sum(1).mean():.1f} labels each", flush=True)
    while done < 1:
        for batch in torch.randperm(len(labels), generator=generator).split(32):
            done = (time.monotonic() - start) / (60 * minutes)
            if done >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * min(1.0, 20 * done) * max(0.01, 1 - done)
            turn = int(torch.randint(8, (), generator=generator))
            x = [torch.rot90(g[batch], turn % 4, (2, 3)) for g in groups]
            x = [torch.flip(g, (3,)) if turn > 3 else g for g in x]
            loss = loss_of(net(*x), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        epoch += 1
        print(f"epoch {epoch}  loss {np.mean(losses[-50:]):.4f}  {done:.2f}", flush=True)
    return Model(net.eval(), name="located")


def majority(truth: np.ndarray, metres: int) -> np.ndarray:
    """Majority class of each whole cell."""
    side = metres // 10
    rows, columns = (n // side for n in truth.shape)
    cells = truth[: rows * side, : columns * side].reshape(rows, side, columns, side)
    cells = cells.transpose(0, 2, 1, 3).reshape(rows, columns, -1)
    counts = np.stack([(cells == c).sum(-1) for c in range(len(BEN19.names))])
    return counts.argmax(0)


def patch_map(scene: Path, model: Model, stride: int, shape: tuple[int, int]) -> np.ndarray:
    """Most probable class of the patch nearest to each 160 m cell."""
    product = geolulc.open_product(scene)
    found = predict_scene(product, model, stride=stride, min_valid=0)
    grid, classes = MapGrid(product.grid, stride), found.block.probabilities.argmax(0)
    rows, columns = (np.array([start(i) for i in range(n)]) + 600 for start, n in (
        (grid.patch_top, grid.shape[0]), (grid.patch_left, grid.shape[1])))  # fmt: skip
    nearest = [
        np.abs(centres[None] - (np.arange(n)[:, None] + 0.5) * CELL).argmin(1)
        for centres, n in zip((rows, columns), shape, strict=True)
    ]
    return classes[np.ix_(*nearest)]


def compare(folder: Path, model: Model) -> dict[str, tuple[float, float]]:
    """Overall accuracy and mean accuracy of the classes, of each way to map."""
    scene = next(folder.glob("*.SAFE"))
    truth = majority(truth_of(folder), CELL)
    ways = {
        "patches, stride 1200": patch_map(scene, model, 1200, truth.shape),
        "patches, stride 120": patch_map(scene, model, 120, truth.shape),
    }
    for stride in (1200, 600):
        found = predict_scene(scene, model, stride=stride, resolution=CELL, min_valid=0)
        cells = found.block.probabilities[:, : truth.shape[0], : truth.shape[1]].argmax(0)
        ways[f"evidence, 160 m, patches every {stride} m"] = cells
    classes = np.unique(truth)
    return {
        way: (
            float((cells == truth).mean()),
            float(np.mean([(cells == c)[truth == c].mean() for c in classes])),
        )
        for way, cells in ways.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, nargs="*", default=[])
    parser.add_argument("--test", type=Path, nargs="*", default=[])
    parser.add_argument(
        "--model", type=Path, required=True, help="written, or read without --train"
    )
    parser.add_argument("--trunk", default="whole")
    parser.add_argument("--image-size", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--least", type=float, default=0.05, help="share of a patch for a label")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.train:
        config = NetConfig(trunk=args.trunk, image_size=args.image_size)
        save_checkpoint(args.model, train(args.train, config, args.minutes, args.least))
    model = load_checkpoint(args.model)
    for folder in args.test:
        for way, (overall, mean) in compare(folder, model).items():
            print(f"{folder.name}  {way:40}  accuracy {overall:.3f}, mean of classes {mean:.3f}")


if __name__ == "__main__":
    main()
