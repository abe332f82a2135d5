"""Estimates of transfer: distances between regions, compared with measured transfer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from geolulc.datasets import Store
from geolulc.nets import load_checkpoint
from geolulc.transfer import distances
from geolulc.transfer.correlation import rank_correlation
from geolulc.transfer.features import SAMPLE, encoder_features, sample, spectral_features
from geolulc.transfer.plan import POOLED, sources_of
from geolulc.transfer.regions import Region
from geolulc.transfer.settings import TransferConfig
from geolulc.transfer.tables import measure

#: Estimate → what it compares. Those of labels are 0 for regions that are alike.
ESTIMATES: Final[Mapping[str, str]] = {
    "chi_square": "chi-square distance of label distributions (the paper's)",
    "jensen_shannon": "Jensen–Shannon distance of label distributions",
    "relative_entropy": "Kullback–Leibler divergence of the target's labels from the source's",
    "cooccurrence": "Jensen–Shannon distance of label pairs",
    "spectral": "Fréchet distance of band means and deviations",
    "encoder": "Fréchet distance of the encoder's features",
}
_OF_LABELS: Final = (
    distances.chi_square,
    distances.jensen_shannon,
    distances.relative_entropy,
    distances.cooccurrence,
)


def estimate_transfer(
    store: Store,
    regions: Mapping[str, Region],
    config: TransferConfig,
    rows: Sequence[Mapping[str, Any]],
    *,
    encoder: Path | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Every estimate for every pair of regions, and how well it ranks the measured transfer.

    Estimates are of the train splits. Distances of features grow as samples shrink, so each is
    between as many patches, half of what the smallest region has; sources and targets take
    different halves, so that a region with itself shows what chance alone gives.

    Measured is zero-shot average precision, macro, without remedy, mean over seeds: as it is, and
    as the loss against a model of the target itself where the target is among the sources. A
    region with itself is left out of every correlation: its distance is the least and its
    transfer the best, whatever the estimate.

    Returns:
        ``feature_patches``: in each sample of features; ``pairs``: source, target, each estimate,
        ap_macro, drop; ``correlations``: estimate, against ("drop", "ap_macro", "ap_macro within
        targets"), expected sign, rho, low, high, pairs. JSON-able.
    """
    features, count = _features(store, regions, config, encoder, device)
    measured = _zero_shot(rows)
    pairs: list[dict[str, Any]] = []
    for target in config.targets:
        own = measured.get((target, target))
        for source, members in sources_of(config, target):
            train = [np.concatenate([regions[m]["train"] for m in members])]
            train.append(regions[target]["train"])
            labels = [store.target_bytes[p].astype(np.float32) for p in train]
            pair: dict[str, Any] = {"source": source, "target": target}
            pair |= {distance.__name__: distance(*labels) for distance in _OF_LABELS}
            for name, of_region in features.items():
                # a half of each region as a source, the other as a target
                from_source = np.concatenate([of_region[m][:count] for m in members])
                if len(members) > 1:
                    from_source = from_source[sample(np.arange(len(from_source)), count)]
                apart = from_source, of_region[target][count:]
                pair[name] = distances.frechet(*apart) if count > 1 else None
            value = measured.get((source, target))
            pair["ap_macro"] = value
            pair["drop"] = own - value if own is not None and value is not None else None
            pairs.append(pair)
    names = [name for name in ESTIMATES if name in pairs[0]]
    return {
        "feature_patches": count,
        "pairs": pairs,
        "correlations": _correlate(pairs, names),
    }


def _zero_shot(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    """(source, target) → AP macro without remedy, mean over seeds."""
    cells = measure(rows, "ap_macro").items()
    return {(c.source, c.target): m.mean for c, m in cells if c[2:] == ("none", "zero-shot", 0)}


def _features(
    store: Store,
    regions: Mapping[str, Region],
    config: TransferConfig,
    encoder: Path | None,
    device: str,
) -> tuple[dict[str, dict[str, NDArray[np.float64]]], int]:
    """Kind of features → region → features of its sample; and the half of a sample."""
    names = sorted({*config.sources, *config.targets})
    count = min(SAMPLE, *(len(regions[name]["train"]) for name in names)) // 2
    sampled = {name: sample(regions[name]["train"], 2 * count) for name in names}
    found = {"spectral": {n: spectral_features(store, p) for n, p in sampled.items()}}
    if encoder is not None:
        net = load_checkpoint(encoder).net
        found["encoder"] = {n: encoder_features(net, store, p, device) for n, p in sampled.items()}
    return found, count


def _correlate(pairs: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    found = []
    for name in names:
        for against, figure, sign, within in (
            ("drop", "drop", "+", False),
            ("ap_macro", "ap_macro", "-", False),
            ("ap_macro within targets", "ap_macro", "-", True),
        ):
            rows = [
                p
                for p in pairs
                # pooled sources are no points of their own: they repeat the others
                if p["source"] not in (p["target"], POOLED)
                and p[figure] is not None
                and p[name] is not None
            ]
            result = rank_correlation(
                [p["source"] for p in rows],
                [p["target"] for p in rows],
                [p[name] for p in rows],
                [p[figure] for p in rows],
                within_targets=within,
            )
            about = {"estimate": name, "against": against, "expected_sign": sign}
            found.append(about | asdict(result))
    return found
