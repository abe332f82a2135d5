"""A student beside its teacher, place by place, on patches that the student never saw.

    python benchmarks/distilled.py MODEL STORE --teacher MODEL [--split val] [--lights 8]

Of all patches of the split: the share of pixels with the teacher's class, of those too whose class
has a probability of 0.6 and more in the teacher's eyes, and the mean intersection over union of the
classes that are a thousandth of the teacher's pixels or more. Intervals of 95 %: 1,000 resamples of
whole places (tiles, or acquisitions). Then the same agreement where both see each patch in other
light (``geolulc/learning/light.py``: sun, haze, season), changed in ``--lights`` ways.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from geolulc.datasets import open_store
from geolulc.learning.light import in_light
from geolulc.learning.scoring import classify_patches
from geolulc.learning.teaching import SURE, TaughtPatches
from geolulc.maps.encoding import FULL
from geolulc.nets import Model, load_checkpoint

Sums = NDArray[np.int64]
#: Classes that are less of the teacher's pixels do not count as present.
PRESENT = 1e-3


def sums_by_place(student: Model, patches: TaughtPatches) -> dict[str, tuple[Sums, Sums]]:
    """Place → confusion (teacher, student) of its pixels, and of those the teacher is sure of."""
    classes = len(patches.classes)
    found: dict[str, tuple[Sums, Sums]] = defaultdict(
        lambda: (np.zeros((classes, classes), np.int64), np.zeros((classes, classes), np.int64))
    )
    places = patches.clusters
    order = [student.net.classes.index(name) for name in patches.classes]
    for at, truth, logits in classify_patches(
        student.net, patches, device=torch.device("cpu"), batch_size=8
    ):
        said = student.probabilities(logits)[:, order].argmax(dim=1).numpy()
        sure = patches.soft[0][at].max(axis=1) >= SURE * FULL
        for row, place in enumerate(at):
            known = truth[row].numpy() < classes
            for number, counted in enumerate((known, known & sure[row])):
                pair = truth[row].numpy()[counted].astype(int), said[row][counted]
                np.add.at(found[str(places[place])][number], pair, 1)
    return dict(found)


def figures(sums: list[tuple[Sums, Sums]]) -> tuple[float, float, float]:
    """Agreement, agreement where the teacher is sure, and mIoU of the classes present."""
    every, sure = (np.sum([s[k] for s in sums], axis=0) for k in (0, 1))
    hits = np.diag(every)
    iou = hits / np.maximum(every.sum(axis=0) + every.sum(axis=1) - hits, 1)
    present = every.sum(axis=1) >= PRESENT * every.sum()
    agreed = np.diag(sure).sum() / sure.sum() if sure.sum() else np.nan
    return hits.sum() / every.sum(), agreed, iou[present].mean()


@torch.inference_mode()
def agreement_in_other_light(student: Model, patches: TaughtPatches) -> float:
    """Share of pixels with the teacher's class in all views but the first, the image itself."""
    net = student.net
    order = [net.classes.index(name) for name in patches.classes]
    agreed = counted = 0
    for batch in patches.loader(8, device=torch.device("cpu"), bands=net.bands):
        places = patches.places(batch)
        seen = net.preprocess(*batch.groups_on(torch.device("cpu")))
        for view, soft in zip(patches.views[1:], patches.soft[1:], strict=True):
            logits = net.classify(*in_light(net, seen, view.of(places)))
            said = student.probabilities(logits)[:, order].argmax(dim=1).numpy()
            taught = soft[places]
            known = taught.any(axis=1)
            agreed += np.count_nonzero((said == taught.argmax(axis=1)) & known)
            counted += np.count_nonzero(known)
    return agreed / counted


def main(arguments: argparse.Namespace) -> None:
    student, teacher = load_checkpoint(arguments.model), load_checkpoint(arguments.teacher)
    store = open_store(arguments.store)
    cpu, views = torch.device("cpu"), 1 + arguments.lights
    patches = TaughtPatches(store, arguments.split, teacher=teacher, device=cpu, views=views)
    by_place = sums_by_place(student, patches)
    print(f"{len(patches)} {arguments.split} patches of {len(by_place)} places")
    print(f"{'place':44} {'pixels':>9} {'agreement':>9} {'sure':>6} {'share sure':>10}")
    for place, (every, sure) in sorted(by_place.items()):
        agreement, agreed, _ = figures([(every, sure)])
        share = sure.sum() / every.sum()
        print(f"{place:44} {every.sum():9,} {agreement:9.3f} {agreed:6.3f} {share:10.2f}")
    sums = list(by_place.values())
    random = np.random.default_rng(0)
    drawn = [
        figures([sums[i] for i in random.integers(0, len(sums), len(sums))]) for _ in range(1000)
    ]
    low, high = np.nanpercentile(np.array(drawn), (2.5, 97.5), axis=0)
    names = ("agreement", "agreement where the teacher is sure", "mIoU")
    for name, value, a, b in zip(names, figures(sums), low, high, strict=True):
        print(f"{name}: {value:.3f} ({a:.3f} … {b:.3f})")
    every = np.sum([s[0] for s in sums], axis=0)
    hits = np.diag(every)
    iou = hits / np.maximum(every.sum(axis=0) + every.sum(axis=1) - hits, 1)
    for name, pixels, value in zip(patches.classes, every.sum(axis=1), iou, strict=True):
        print(f"  {name:24} {pixels / every.sum():6.3f} of the pixels, IoU {value:.3f}")
    if arguments.lights:
        print(f"agreement in other light: {agreement_in_other_light(student, patches):.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("store", type=Path)
    parser.add_argument("--teacher", default="dynamicworld")
    parser.add_argument("--split", default="val")
    parser.add_argument("--lights", type=int, default=8)
    main(parser.parse_args())
