"""Does label correlation help, and did the seed's form? An ablation on correlated labels.

    python benchmarks/networks_label_correlation.py [--seeds 8] [--train 1000]

Made data: in three groups, a label (the whole) is there when any of four others (its parts) is,
and leaves no trace of its own; parts leave traces of varying strength in noisy features; four
more labels are independent. One linear head on the features, fitted to its optimum in three forms:
alone; with the seed's branch (the flattened co-occurrence matrix, one constant, through
BatchNorm1d and two linear layers, concatenated to the features); with ``LabelCorrelation``. The
matrix is that of the training labels; each form has the weight penalty that suits it on held-out
samples. Prints AP on unseen samples and paired differences over the seeds.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor, nn
from torch.nn import functional

from geolulc.nets.label_correlation import LabelCorrelation

CLASSES, FEATURES = 19, 64
#: The labels that others imply.
WHOLES = (4, 9, 14)
PENALTIES = (1e-4, 1e-3, 3e-3, 1e-2)


class SeedBranch(nn.Module):
    """The seed's branch: the same vector for every sample, so zero after the BatchNorm."""

    def __init__(self, cooccurrence: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("vector", torch.from_numpy(cooccurrence).float().flatten())
        self.norm = nn.BatchNorm1d(CLASSES * CLASSES)
        self.layers = nn.Sequential(nn.Linear(CLASSES * CLASSES, 64), nn.Linear(64, 32))
        self.head = nn.Linear(FEATURES + 32, CLASSES)

    def forward(self, features: Tensor) -> Tensor:
        repeated = self.vector.expand(len(features), -1)
        return self.head(torch.cat([features, self.layers(self.norm(repeated))], dim=1))


class Alone(nn.Module):
    def __init__(self, cooccurrence: np.ndarray) -> None:
        super().__init__()
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, features: Tensor) -> Tensor:
        return self.head(features)


class Correlated(Alone):
    def __init__(self, cooccurrence: np.ndarray) -> None:
        super().__init__(cooccurrence)
        self.correlation = LabelCorrelation(CLASSES)
        self.correlation.set_cooccurrence(cooccurrence)

    def forward(self, features: Tensor) -> Tensor:
        return self.correlation(self.head(features))


FORMS = {"alone": Alone, "seed's form": SeedBranch, "label correlation": Correlated}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--train", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs = [ablate(seed, options.train) for seed in range(options.seeds)]
    for which, subset in enumerate(("all 19 labels", "the 3 implied labels")):
        for name in FORMS:
            gains = [run[name][which] - run["alone"][which] for run in runs]
            error = statistics.stdev(gains) / len(gains) ** 0.5
            print(
                f"{subset:21} {name:18} macro AP "
                f"{statistics.mean(run[name][which] for run in runs):.4f}   against alone "
                f"{statistics.mean(gains):+.4f} ± {error:.4f} (standard error)"
            )


def ablate(seed: int, train: int) -> dict[str, tuple[float, float]]:
    """Form → macro AP on unseen samples, of all labels and of the implied ones."""
    rng = np.random.default_rng(seed)
    traces = rng.normal(size=(CLASSES, FEATURES)) / FEATURES**0.5
    x, y = make_samples(rng, traces, train)
    held_out = make_samples(rng, traces, 500)
    unseen = make_samples(rng, traces, 2000)
    cooccurrence = y.T @ y / len(y)
    scores = {}
    for name, form in FORMS.items():
        # each form at the penalty that suits it on held-out samples
        fitted = []
        for penalty in PENALTIES:
            torch.manual_seed(seed)
            model = form(cooccurrence)
            fit(model, torch.from_numpy(x).float(), torch.from_numpy(y).float(), penalty)
            fitted.append((score(model, *held_out)[0], score(model, *unseen)))
        scores[name] = max(fitted)[1]
    return scores


def score(model: nn.Module, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    with torch.no_grad():
        logits = model.eval()(torch.from_numpy(x).float()).numpy()
    each = np.asarray(average_precision_score(y, logits, average=None))
    return float(each.mean()), float(each[list(WHOLES)].mean())


def make_samples(
    rng: np.random.Generator, traces: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Features (count, 64) and labels (count, 19)."""
    labels = np.zeros((count, CLASSES))
    for whole in WHOLES:
        parts = rng.random((count, 4)) < 0.12
        implied = rng.random(count) < np.where(parts.any(axis=1), 0.97, 0.02)
        labels[:, whole - 4 : whole] = parts
        labels[:, whole] = implied
    labels[:, 15:] = rng.random((count, 4)) < 0.2
    strength = 0.7 + rng.exponential(size=labels.shape)
    strength[:, list(WHOLES)] = 0
    return 3 * (labels * strength) @ traces + rng.normal(size=(count, FEATURES)) * 0.5, labels


def fit(model: nn.Module, x: Tensor, y: Tensor, penalty: float) -> None:
    """To the optimum by L-BFGS: what is compared are the forms, not an optimiser's way there."""
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=200, history_size=20, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        squares = model.head.weight[:, :FEATURES].square().sum()
        loss = functional.binary_cross_entropy_with_logits(model(x), y) + penalty * squares
        loss.backward()
        return loss

    model.train()
    optimizer.step(closure)
    # the running statistics of a BatchNorm, as after a long training
    for _ in range(200):
        with torch.no_grad():
            model(x)


if __name__ == "__main__":
    main()
