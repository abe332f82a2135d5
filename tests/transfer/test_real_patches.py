"""The whole way on the real patches: a smoke test, and the report says so."""

from __future__ import annotations

import csv
import json

import pytest

from geolulc.datasets import open_store, prepare_store
from geolulc.datasets.archives import Lists
from geolulc.transfer import TransferConfig, find_regions, run_transfer


def test_seasons_of_the_real_v1_patches(shared, quick, tmp_path) -> None:
    archive = shared / "data" / "bigearthnet-v1"
    names = sorted(p.name for p in (archive / "BigEarthNet-v1.0").iterdir())
    lists = tmp_path / "splits"
    lists.mkdir()
    for split, every in (("train", (0, 1)), ("val", (2,)), ("test", (3,))):
        chosen = [name for i, name in enumerate(names) if i % 4 in every]
        (lists / f"{split}.csv").write_text("".join(f"{name}\n" for name in chosen))
    prepare_store(archive, tmp_path / "real.store", lists=Lists(splits=lists))
    store = open_store(tmp_path / "real.store")
    seasons = find_regions(store, "season")
    config = TransferConfig(
        sources=("Spring", "Fall"),
        targets=("Summer",),
        target_sizes=(0, 4),
        training=quick,
        fine_tune_steps=4,
    )
    found = run_transfer(
        store, seasons, config, tmp_path / "out", regions_from="season", device="cpu"
    )
    assert not found.failed
    report = found.files["report.md"].read_text()
    assert "**Smoke test.**" in report
    assert "Regions by season" in report
    rows = list(csv.DictReader(found.files["runs.csv"].read_text().splitlines()))
    assert {r["source"] for r in rows} == {"Spring", "Fall", "pooled", "scratch"}
    tested = json.loads(found.files["runs.json"].read_text())["runs"][0]
    supports = store.target_bytes[seasons["Summer"]["test"]].sum(axis=0)
    assert [c["support"] for c in tested["classes"]] == supports[supports > 0].tolist()
    assert float(rows[0]["ap_macro"]) == pytest.approx(
        sum(c["ap"] for c in tested["classes"]) / len(tested["classes"])
    )
