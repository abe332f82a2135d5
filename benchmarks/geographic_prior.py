"""What a model's geographic prior is worth, and how much of it is labels right beside the patches.

    python benchmarks/geographic_prior.py MODEL STORE METADATA

Average precision, micro and macro, on the val split of STORE: of the image alone, of the prior
alone, which sees no image, of both, and of both with all labels of METADATA nearer than 1, 3 or
10 km to a patch left out of its prior. METADATA is the file that the model was trained with.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from geolulc.datasets import open_store
from geolulc.datasets.domain import degrees
from geolulc.domain import great_circle
from geolulc.learning.evaluation import predict
from geolulc.learning.label_files import LabelFile
from geolulc.learning.metrics import average_precision, macro, micro_average_precision
from geolulc.nets import load_checkpoint
from geolulc.nets.geographic_prior import GeographicPrior


def without_near(
    prior: GeographicPrior,
    places: NDArray[np.float64],
    labels: NDArray[np.uint8],
    at: NDArray[np.float64],
    kilometres: float,
) -> NDArray[np.float64]:
    """Shifts (C,) at a place, of the labels (n, C) that are so far from it or further."""
    far = great_circle(*at, *places.T) >= kilometres
    labels = labels[far].astype(np.float64)
    base = prior.base.numpy().astype(np.float64)
    return GeographicPrior.of(places[far], np.ones(len(labels)), labels, base).at(*at)


def main(checkpoint: Path, folder: Path, metadata: Path) -> None:
    store, model = open_store(folder), load_checkpoint(checkpoint)
    prior = model.net.geographic_prior
    if prior is None:
        sys.exit(f"{checkpoint}: a model without a geographic prior")
    predictions = predict(model, store, "val")
    targets, centres = predictions.targets, predictions.patches.centres
    shifts = prior.at(*centres.T)
    image = predictions.logits - shifts
    rows = {
        "the image alone": image,
        "the prior alone": logit(prior.base.numpy()) + shifts,
        "both": predictions.logits,
    }
    file = LabelFile.read(metadata, store.legend)
    places = degrees(*file.centres)
    for kilometres in (1, 3, 10):
        found = [without_near(prior, places, file.labels, at, kilometres) for at in centres]
        rows[f"both, no labels within {kilometres} km"] = image + np.stack(found)
    print(f"{len(targets)} val patches\n{'':32} {'AP micro':>9} {'AP macro':>9}")
    for name, logits in rows.items():
        micro = micro_average_precision(targets, logits.astype(np.float32))
        print(f"{name:32} {micro:9.3f} {macro(average_precision(targets, logits)):9.3f}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
