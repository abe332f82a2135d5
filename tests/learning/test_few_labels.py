"""Learning from few labels: a frozen trunk first, decoders that were trained, parts with labels."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_pixels import make_pixel_store
from torch import Tensor

from geolulc.datasets import open_store
from geolulc.datasets.patch import BIGEARTHNET
from geolulc.errors import ParameterError
from geolulc.learning import TrainConfig, train
from geolulc.learning.augmentation import augment, draw
from geolulc.learning.interruption import TrainingInterrupted
from geolulc.learning.plan import make_plan
from geolulc.learning.task import Task
from geolulc.learning.trackers import Tracker
from geolulc.nets import LandCoverNet, build_net, load_checkpoint
from geolulc.nomenclature import IGNORED

CONFIG = TrainConfig(
    task="pixel", backbone="test_resnet", epochs=2, batch_size=4, workers=0, select="last",
    ema_decay=0, pixel_loss="ce", seed=1,
)  # fmt: skip
#: Beginnings of the names of tensors: of the trunk, of what follows.
TRUNK, HEAD = "fusion.trunk.backbone.", ("fusion.decoder.", "fusion.head.")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pixel_store(tmp_path_factory.mktemp("few") / "p.store", train=8, val=2, test=0)


@pytest.fixture(scope="module")
def start(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("start") / "run"
    train(store, run, replace(CONFIG, epochs=1, seed=5), task=Task(plots=False))
    return run / "model.safetensors"


def trained(store: Path, run: Path, config: TrainConfig, **options: object) -> LandCoverNet:
    train(store, run, config, task=Task(plots=False), **options)  # type: ignore[arg-type]
    return load_checkpoint(run).net


def begun(store: Path, config: TrainConfig) -> LandCoverNet:
    """The network before its first step."""
    patches, _ = Task().patches(open_store(store), config, torch.device("cpu"))
    return Task().net(patches, config, torch.device("cpu"))


def tensors(net: LandCoverNet, *beginnings: str) -> dict[str, Tensor]:
    return {k: v for k, v in net.state_dict().items() if k.startswith(beginnings)}


def same(a: LandCoverNet, b: LandCoverNet, *beginnings: str) -> bool:
    one, other = tensors(a, *beginnings), tensors(b, *beginnings)
    assert one
    return all(torch.equal(one[name], other[name]) for name in one)


class TestFrozenTrunk:
    def test_it_stays_as_it_is_and_then_learns(
        self, store: Path, start: Path, tmp_path: Path
    ) -> None:
        config = replace(CONFIG, pretrained=str(start))
        before = begun(store, config)
        whole = trained(store, tmp_path / "whole", replace(config, frozen_trunk=1.0))
        assert same(whole, before, TRUNK)  # weights and batch statistics
        assert not same(whole, before, *HEAD)
        half = trained(store, tmp_path / "half", replace(config, frozen_trunk=0.5))
        assert not same(half, before, TRUNK)

    def test_it_resumes_to_the_same_weights(self, store: Path, start: Path, tmp_path: Path) -> None:
        config = replace(CONFIG, pretrained=str(start), epochs=3, frozen_trunk=0.6)
        once = trained(store, tmp_path / "once", config)

        class Stop(Tracker):
            def epoch(self, figures: Mapping[str, float]) -> None:
                if figures["epoch"] == 1:
                    os.kill(os.getpid(), signal.SIGTERM)

        with pytest.raises(TrainingInterrupted):
            trained(store, tmp_path / "twice", config, trackers=[Stop()])
        assert same(load_checkpoint(tmp_path / "twice").net, begun(store, config), TRUNK)
        assert same(trained(store, tmp_path / "twice", config, resume=True), once, "")

    def test_of_patches_the_head_inside_the_backbone_learns(self, store: Path) -> None:
        config = TrainConfig(backbone="test_resnet", epochs=2, frozen_trunk=0.5, batch_size=4)
        task, plan = Task(), make_plan(8, config, 1)
        net = begun(store, config)
        task.set_learning(net, 0, plan)
        backbone = net.fusion.backbone
        assert [p.requires_grad for p in backbone.fc.parameters()] == [True, True]
        assert not any(p.requires_grad for p in backbone.layer1.parameters())
        assert not backbone.bn1.training
        task.set_learning(net, 1, plan)
        assert all(p.requires_grad for p in net.parameters())
        assert backbone.bn1.training

    def test_several_processes_are_refused(self) -> None:
        plan = make_plan(8, replace(CONFIG, frozen_trunk=0.5), 2)
        with pytest.raises(ParameterError, match="frozen_trunk: found 1 epochs with 2 processes"):
            Task().require_processes(plan)


class TestParts:
    def test_a_part_holds_a_labelled_pixel(self) -> None:
        config = TrainConfig(task="pixel", crop=24)
        count, rng = 300, np.random.default_rng(0)
        places = torch.from_numpy(rng.integers(0, 120, (count, 2)))
        truth = torch.full((count, 120, 120), IGNORED, dtype=torch.uint8)
        truth[torch.arange(count), places[:, 0], places[:, 1]] = 3
        number = torch.arange(120 * 120, dtype=torch.float32).view(1, 1, 120, 120)
        fine, coarse = number.expand(count, 1, 120, 120), torch.zeros(count, 1, 20, 20)
        (fine, coarse), parts = augment(
            (fine, coarse), truth, draw(config, 0, count, 2, BIGEARTHNET)
        )
        assert fine.shape[-2:] == parts.shape[-2:] == (24, 24)
        assert coarse.shape[-2:] == (4, 4)
        found = (parts == 3).flatten(1)
        assert found.sum(dim=1).eq(1).all()
        # the pixel is that of the patch, and lies anywhere in its part
        at = found.int().argmax(dim=1)
        assert torch.equal(
            fine.flatten(1)[torch.arange(count), at].long(), places[:, 0] * 120 + places[:, 1]
        )
        assert len(at.unique()) > 150

    def test_whole_masks_keep_the_corners_that_were_drawn(self) -> None:
        draws = draw(TrainConfig(task="pixel", crop=24, d4=False), 0, 20, 1, BIGEARTHNET)
        rows = torch.arange(120, dtype=torch.float32).view(1, 1, 120, 1).expand(20, 1, 120, 120)
        for filled in (0, IGNORED):
            truth = torch.full((20, 120, 120), filled, dtype=torch.uint8)
            (parts,), _ = augment((rows,), truth, draws)
            assert draws.corner is not None
            assert (parts[:, 0, 0, 0].numpy() == 6 * draws.corner[:, 0]).all()


class TestDecoder:
    def test_it_is_taken_over_with_its_trunk(self, store: Path, start: Path) -> None:
        known = load_checkpoint(start).net
        for classes, change in ((known.classes, 1.0), (known.classes[:5], 1.5)):
            other = replace(
                known.normalisation,
                std={name: change * v for name, v in known.normalisation.std.items()},
            )
            net = build_net(
                known.config,
                classes=classes,
                nomenclature=known.nomenclature,
                normalisation=other,
                pretrained=start,
                seed=3,
            )
            assert "taken over" in net.initialisation["decoder"]
            # the last layer is of other classes; with it the network is the same function
            last = net.fusion.head.classifier
            before = last.weight.detach().clone()
            rows = slice(0, len(classes))
            assert not torch.equal(before, known.fusion.head.classifier.weight[rows])
            last.load_state_dict(
                {k: v[rows] for k, v in known.fusion.head.classifier.state_dict().items()}
            )
            groups = [torch.randint(1, 4000, (1, *shape)) for shape in net.shapes]
            with torch.inference_mode():
                found, expected = net.eval()(*groups), known.eval()(*groups)[:, rows]
            inside = np.s_[..., 40:80, 40:80]  # beyond, padding with the mean differs
            assert torch.allclose(found[inside], expected[inside], atol=2e-2)

    def test_of_another_shape_it_starts_fresh(self, store: Path, tmp_path: Path) -> None:
        config = TrainConfig(backbone="test_resnet", epochs=1, batch_size=4, workers=0)
        patch = tmp_path / "patch"
        train(store, patch, replace(config, select="last"), task=Task(plots=False))
        config = replace(CONFIG, epochs=1, pretrained=str(patch / "model.safetensors"))
        net = trained(store, tmp_path / "run", config)
        assert "decoder" not in net.initialisation
