"""The evaluation of a pixel model for people: the frame of ``report``, with maps.

Its pictures cannot be shared: it shows maps beside their references, made again for the patches
that are shown, where ``report`` shows which labels are wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from geolulc.datasets import Store
from geolulc.learning.baseline import table
from geolulc.learning.patches import SplitPatches
from geolulc.learning.pixel_evaluation import PixelEvaluation, map_patches
from geolulc.learning.plots import drawn_name, new_figure
from geolulc.learning.report import Section, true_colour, write_folder
from geolulc.nets import Model
from geolulc.nets.devices import choose_device
from geolulc.nomenclature import IGNORED, Nomenclature
from geolulc.safe_texts import code

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Patches shown: so many of the lowest agreement, then so many in equal steps up to the highest.
LOWEST: Final = 4
STEPS: Final = 8
_NO_CLASS: Final = (255, 255, 255)
_AGREES: Final = (225, 225, 225)
_DIFFERS: Final = (190, 30, 45)


def write_pixel_report(
    model: Model,
    store: Store,
    evaluation: PixelEvaluation,
    folder: Path,
    *,
    device: str = "auto",
    overwrite: int = 0,
) -> None:
    """Write ``folder`` with report.md, its pictures, and evaluation.json.

    Raises:
        OutputError: the folder exists or cannot be written.
    """
    shown = _choose(evaluation)
    short = [drawn_name(store.nomenclature[name]) for name in model.net.classes]
    sections = [*_beside(evaluation)]
    sections += [
        Section(
            "Which classes are taken for which",
            "confusion.png",
            "Confusion matrix",
            plot_confusion(np.array(evaluation.confusion, np.int64), short, store.legend.reference),
        ),
        Section(
            "Patches",
            "patches.png",
            "Patches with map, reference and difference",
            _plot_patches(model, store, evaluation, shown, device),
            f"The {LOWEST} of the lowest agreement, then {STEPS} in equal steps up to the "
            "highest: true colour, map, reference, and in red where they differ.",
            [
                f"{n}. {code(name)}: {100 * evaluation.agreement[name]:.1f} %"
                for n, name in enumerate(shown, start=1)
            ],
        ),
    ]
    write_folder(folder, evaluation, store, sections, overwrite=overwrite)


def _beside(evaluation: PixelEvaluation) -> list[Section]:
    """The model beside its baseline, where there is one."""
    if evaluation.baseline is None:
        return []
    rows = table(evaluation.baseline, evaluation.classes)
    figure = new_figure(6, 0.4 * len(rows) + 1.2)
    axes = figure.subplots()
    places = np.arange(len(rows))
    for shift, column, name in ((0.2, 1, "network"), (-0.2, 2, "random forest")):
        axes.barh(places + shift, [row[column] for row in rows], 0.38, label=name)
    axes.set_yticks(places, [str(row[0])[:30].replace("$", r"\$") for row in rows], fontsize=8)
    axes.set(xlim=(0, 1), xlabel="Intersection over union")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    verdict = evaluation.baseline.verdict(evaluation.figures)
    return [
        Section("Beside a random forest", "baseline.png", "IoU of both by class", figure, verdict)
    ]


def plot_confusion(
    confusion: NDArray[np.int64], short_names: Sequence[str], reference: str = "reference"
) -> Figure:
    """Where the pixels of each class of the ``reference`` (rows) go in the map, in per cent.

    Classes that neither has are left out.
    """
    there = np.flatnonzero(confusion.sum(axis=0) + confusion.sum(axis=1))
    counts = confusion[np.ix_(there, there)].astype(np.float64)
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(100 * counts, rows, out=np.full_like(counts, np.nan), where=rows > 0)
    short = [short_names[i] for i in there.tolist()]
    side = 0.45 * len(short) + 2.2
    figure = new_figure(side + 1, side)
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=100, cmap="Blues")
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.5:
            colour = "white" if share > 60 else "black"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=colour,
                      fontsize=7)  # fmt: skip
    axes.set_xticks(range(len(short)), short, rotation=90, fontsize=8)
    axes.set_yticks(range(len(short)), short, fontsize=8)
    axes.set(
        xlabel="Map", ylabel=f"Reference ({reference})", title="Per cent of the reference's pixels"
    )
    figure.colorbar(image, ax=axes, shrink=0.7)
    return figure


def colour_map(positions: NDArray[Any], nomenclature: Nomenclature, names: Sequence[str]) -> Any:
    """uint8 (rows, columns, 3): each pixel in its class's colour, white without one."""
    colours = np.full((256, 3), _NO_CLASS, np.uint8)
    colours[: len(names)] = [nomenclature[name].rgb for name in names]
    return colours[np.asarray(positions)]


def _choose(evaluation: PixelEvaluation) -> list[str]:
    """Names of the patches to show, worst first."""
    known = {k: v for k, v in evaluation.agreement.items() if math.isfinite(v)}
    ranked = sorted(known, key=lambda name: known[name])
    if len(ranked) <= LOWEST + STEPS:
        return ranked
    rest = ranked[LOWEST:]
    steps = np.linspace(0, len(rest) - 1, STEPS).round().astype(int)
    return [*ranked[:LOWEST], *(rest[i] for i in steps.tolist())]


def _plot_patches(
    model: Model, store: Store, evaluation: PixelEvaluation, shown: Sequence[str], device: str
) -> Figure:
    from matplotlib.patches import Patch as Swatch

    index_of = {key: i for i, key in enumerate(store.keys)}
    indices = np.array([index_of[name] for name in shown], np.int64)
    patches = SplitPatches(store, evaluation.split, indices, masks=True)
    found: dict[str, NDArray[Any]] = {}
    for some in map_patches(model, patches, choose_device(device), batch_size=8):
        both = torch.stack([some.truth, some.mapped], dim=1).cpu().numpy()
        found |= {patches.key(int(p)): pair for p, pair in zip(some.places, both, strict=True)}
    columns = 2 if len(shown) > LOWEST else 1
    rows = max(math.ceil(len(shown) / columns), 1)
    figure = new_figure(8.2 * columns, 2.2 * rows + 0.6)
    panels: Any = figure.subplots(rows, 4 * columns, squeeze=False)
    for axes in panels.flat:
        axes.axis("off")
    present: set[int] = set()
    names = model.net.classes
    for number, name in enumerate(shown):
        truth, mapped = found[name]
        row, start = number % rows, 4 * (number // rows)
        pictures = (
            true_colour(store.read(index_of[name]), store.layout.sensor),
            colour_map(mapped, store.nomenclature, names),
            colour_map(truth, store.nomenclature, names),
            _differences(mapped, truth),
        )
        agreement = f"{100 * evaluation.agreement[name]:.0f} %"
        titles = (f"{number + 1}. true colour", "map", store.legend.reference, agreement)
        for axes, picture, title in zip(panels[row, start:], pictures, titles, strict=False):
            axes.imshow(picture, interpolation="nearest")
            axes.set_title(title, fontsize=7, loc="left")
        present |= set(np.unique([mapped, truth]).tolist())
    looks = [store.nomenclature[names[p]] for p in sorted(present - {IGNORED})]
    swatches = [Swatch(facecolor=c.color, edgecolor="0.5", label=drawn_name(c)) for c in looks]
    figure.legend(handles=swatches, loc="outside lower center", ncols=8, fontsize=7, frameon=False)
    return figure


def _differences(mapped: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.uint8]:
    picture = np.full((*truth.shape, 3), _AGREES, np.uint8)
    picture[mapped != truth] = _DIFFERS
    picture[truth == IGNORED] = _NO_CLASS
    return picture
