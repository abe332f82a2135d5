"""The shipped models' cards tell the truth: their scores come out again on the real patches."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from geolulc.nets import shipped_model
from geolulc.nets.shipped import shipped_models


@pytest.fixture(scope="module")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the real patches."""
    from geolulc.datasets import Lists, Selection, prepare_store

    data, store = shared / "data", tmp_path_factory.mktemp("real") / "all.store"
    prepare_store(
        [data / "bigearthnet-v1/BigEarthNet-v1.0", data / "bigearthnet-v2"],
        store,
        lists=Lists(splits=data / "bigearthnet-v1/splits"),
        selection=Selection(keep_snow=True, keep_cloud=True),
    )
    return store


@pytest.mark.parametrize("name", ["bigearthnet-few-patches", "bigearthnet-pixel-classes"])
def test_the_score_on_the_card_is_what_the_model_scores(real: Path, name: str) -> None:
    from geolulc.datasets import open_store
    from geolulc.learning import evaluate
    from geolulc.nets import load_checkpoint

    card = shipped_models()[name].with_suffix(".md").read_text(encoding="utf-8")
    micro, macro = map(float, re.search(rf"{name} +(0\.\d+) +(0\.\d+)", card).groups())
    evaluation = evaluate(load_checkpoint(name), open_store(real), "val")
    assert evaluation.patches == 29
    assert evaluation.figures["ap_micro"] == pytest.approx(micro, abs=1e-3)
    assert evaluation.figures["ap_macro"] == pytest.approx(macro, abs=1e-3)
    # the tree model on band statistics of the same patches that it must beat
    assert evaluation.figures["ap_micro"] > 0.728
    assert evaluation.figures["ap_macro"] > 0.596


def test_the_student_agrees_with_its_teacher_as_its_card_says(
    real: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from geolulc.datasets import open_store
    from geolulc.learning.pixel_metrics import overall_figures
    from geolulc.learning.scoring import score_pixels
    from geolulc.learning.teaching import TaughtPatches
    from geolulc.nets import load_checkpoint

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    card = shipped_model(10).with_suffix(".md").read_text(encoding="utf-8")
    said = float(re.search(r"^ +agreement: (0\.\d+)", card, re.MULTILINE)[1])
    teacher = load_checkpoint(shared / "data/dynamicworld/model/forward")
    patches = TaughtPatches(open_store(real), "val", teacher=teacher, device=torch.device("cpu"))
    student = load_checkpoint(shipped_model(10)).net
    none = torch.zeros(len(student.classes)).numpy()
    scores = score_pixels(student, patches, none, device=torch.device("cpu"), batch_size=8)
    assert overall_figures(scores.confusion)["agreement"] == pytest.approx(said, abs=2e-3)
    assert said > 0.94
