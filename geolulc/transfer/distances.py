"""Distances between regions that need no training: of labels, of label pairs, of features.

Labels are counts of positives (C,) or targets (n, C); features are (n, F).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

Array = NDArray[np.floating[Any]]


def label_distribution(targets: Array) -> NDArray[np.float64]:
    """Share of each class among all labels, (C,), sum 1, of targets (n, C)."""
    counts = targets.sum(axis=0, dtype=np.float64)
    return np.asarray(counts / max(float(counts.sum()), 1.0))


def chi_square(source: Array, target: Array) -> float:
    """``½ Σ (p - q)² / (p + q)`` of the label distributions: 0 (alike) to 1 (no class shared).

    The paper names the chi-square distance of label distributions without a formula; this is its
    symmetric form, usual for histograms.
    """
    p, q = label_distribution(source), label_distribution(target)
    both = p + q
    terms = np.divide((p - q) ** 2, both, out=np.zeros_like(both), where=both > 0)
    return float(terms.sum() / 2)


def jensen_shannon(source: Array, target: Array) -> float:
    """Jensen–Shannon distance of the label distributions, base 2: 0 to 1."""
    p, q = label_distribution(source), label_distribution(target)
    return float(jensenshannon(p, q, base=2))


def relative_entropy(source: Array, target: Array) -> float:
    """Kullback–Leibler divergence of the target's label distribution from the source's, in bits.

    Not symmetric: it is large where the target is full of classes that the source hardly has,
    and small where the source has more than the target needs. One label, spread over all
    classes, is added to the source, so that it stays finite.
    """
    q = label_distribution(target)
    counts = source.sum(axis=0, dtype=np.float64) + 1 / source.shape[1]
    p = counts / counts.sum()
    return float(entropy(q, p, base=2))


def cooccurrence(source: Array, target: Array) -> float:
    """Jensen–Shannon distance of the distributions of pairs of labels, base 2: 0 to 1.

    A patch with k labels has k (k + 1) / 2 pairs, a label with itself among them: regions of the
    same classes that lie together differently are apart.
    """
    return float(jensenshannon(_pairs(source), _pairs(target), base=2))


def frechet(source: Array, target: Array) -> float:
    """Fréchet distance of two Gaussians fitted to features (n, F) and (m, F).

    ``√(|μ - ν|² + tr(Σ + T - 2 (Σ½ T Σ½)½))`` (Dowson & Landau 1982); as FID, but its root.
    """
    mean = np.sum((source.mean(axis=0) - target.mean(axis=0)) ** 2)
    first, second = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (source, target))
    values, vectors = eigh(first)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    between = np.sqrt(np.clip(eigh(root @ second @ root, eigvals_only=True), 0, None)).sum()
    spread = np.trace(first) + np.trace(second) - 2 * between
    return float(np.sqrt(max(mean + spread, 0.0)))


def _pairs(targets: Array) -> NDArray[np.float64]:
    wide = targets.astype(np.float64)
    together = (wide.T @ wide)[np.triu_indices(wide.shape[1])]
    return np.asarray(together / max(together.sum(), 1.0))
