"""The shipped model's card tells the truth: its scores come out again on the real patches."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from geolulc.nets import shipped_model


def test_the_score_on_the_card_is_what_the_model_scores(shared: Path, tmp_path: Path) -> None:
    from geolulc.datasets import Lists, Selection, open_store, prepare_store
    from geolulc.learning import evaluate
    from geolulc.nets import load_checkpoint

    data = shared / "data"
    prepare_store(
        [data / "bigearthnet-v1/BigEarthNet-v1.0", data / "bigearthnet-v2"],
        tmp_path / "all.store",
        lists=Lists(splits=data / "bigearthnet-v1/splits"),
        selection=Selection(keep_snow=True, keep_cloud=True),
    )
    card = shipped_model().with_suffix(".md").read_text(encoding="utf-8")
    micro, macro = map(
        float, re.search(rf"{shipped_model().stem} +(0\.\d+) +(0\.\d+)", card).groups()
    )
    evaluation = evaluate(
        load_checkpoint(shipped_model()), open_store(tmp_path / "all.store"), "val"
    )
    assert evaluation.patches == 29
    assert evaluation.figures["ap_micro"] == pytest.approx(micro, abs=1e-3)
    assert evaluation.figures["ap_macro"] == pytest.approx(macro, abs=1e-3)
    # the tree model on band statistics of the same patches that it must beat
    assert evaluation.figures["ap_micro"] > 0.728
    assert evaluation.figures["ap_macro"] > 0.596
