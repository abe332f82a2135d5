"""Where a timm backbone can be opened: its modules in a row, and the stages they form.

A convolutional backbone of timm is a chain: its children, with sequences laid out flat, applied
one after the other, are its ``forward_features``. ``open_stages`` verifies that by running both.
timm's ``feature_info`` says which module ends the stage of each stride.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from geolulc.datasets.patch import PatchLayout
from geolulc.errors import ParameterError
from geolulc.nets.backbones import Backbone, open_backbone
from geolulc.nets.config import NetConfig

#: Shallow trunks and encoders end after the stage of this stride: 20 pixels are 2 or 3 there. No
#: group of bands joins after a greater one.
SHALLOW_STRIDE: Final = 8
_LAST_STRIDE: Final = 32


@dataclass(frozen=True)
class Stage:
    """A stage of a backbone.

    Attributes:
        name: the timm module that ends it.
        stride: pixels of the input to one of its output.
        channels: of its output.
        end: how many modules of the chain lead to its output.
    """

    name: str
    stride: int
    channels: int
    end: int


@dataclass(frozen=True)
class Stages:
    """A backbone laid out: ``modules`` are names in order; the last gives the feature map."""

    backbone: str
    modules: tuple[str, ...]
    stages: tuple[Stage, ...]

    def at(self, stride: int) -> Stage:
        """The stage of ``stride``, or the first of a greater one where there is none.

        Raises:
            ParameterError: that would be so deep that 20 × 20 pixels are one or two.
        """
        later = [s for s in self.stages if s.stride >= stride]
        stage = min(later, key=lambda s: s.stride) if later else self.stages[-1]
        if not stride <= stage.stride <= SHALLOW_STRIDE:
            wanted = f"stride {stride} to {SHALLOW_STRIDE}"
            raise _refusal(self.backbone, f"no stage of {wanted} that ends at a module")
        return stage


def open_trunk(
    config: NetConfig,
    bands: int,
    patches: PatchLayout,
    *,
    num_classes: int = 0,
    resolution: int = 0,
    deepest: int = 0,
) -> tuple[Backbone, Stages]:
    """The backbone of ``config`` for so many bands, and its stages; options of ``open_backbone``.

    ``resolution`` is that of the bands of ``patches``, in metres; 0 for that of the finest.

    Raises:
        ParameterError: it cannot be built so, or has no stages.
    """
    opened = open_backbone(
        config.backbone,
        in_chans=bands,
        num_classes=num_classes,
        drop_rate=config.drop_rate if num_classes else 0.0,
        drop_path_rate=config.drop_path_rate,
        pixels=image_pixels(config, patches, resolution),
        exact=config.image_size > 0,
        deepest=deepest,
    )
    return opened, open_stages(config.backbone, opened, bands)


def image_pixels(config: NetConfig, patches: PatchLayout, resolution: int = 0) -> int:
    """Side of the images of bands of so many metres, unless the backbone needs a few pixels more.

    ``image_size`` is that of the finest, which 0 metres are too; 0 leaves the bands their own size.
    """
    finest = patches.pixel
    return (config.image_size or patches.size // finest) * finest // (resolution or finest)


def is_small(patches: PatchLayout, resolution: int) -> bool:
    """Whether a patch of so many metres a pixel has no pixel left at the last stride of a trunk."""
    return patches.size // resolution < _LAST_STRIDE


def open_stages(name: str, backbone: Backbone, in_chans: int) -> Stages:
    """The chain of ``backbone`` and its stages.

    Args:
        name: for messages.
        backbone: a timm model; one on the meta device is laid out without being run.
        in_chans: bands that it takes.

    Raises:
        ParameterError: it is no chain of stages that give maps (channels, rows, columns).
    """
    model = backbone.model
    chain = _module_chain(model)
    info = [entry for entry in getattr(model, "feature_info", []) if entry["reduction"] > 1]
    if len({entry["reduction"] for entry in info}) < 2:
        raise _refusal(name, "a backbone of one resolution only")
    stages = []
    for entry in info:
        end = _end_of(entry["module"], chain)
        # timm marks some features inside a block or after the trunk; those cannot be cut at
        if end:
            stages.append(Stage(entry["module"], entry["reduction"], entry["num_chs"], end))
    if next(model.parameters()).is_meta:
        return Stages(name, chain, tuple(stages))
    length, shapes = _verify(name, model, chain, in_chans, backbone.image_size)
    kept = tuple(s for s in stages if s.end <= length)
    for stage in kept:
        if len(shapes[stage.end - 1]) != 4 or shapes[stage.end - 1][1] != stage.channels:
            raise _refusal(name, f"a stage {stage.name} that gives {shapes[stage.end - 1][1:]}")
    if not kept:
        raise _refusal(name, "no stage that ends between two modules")
    return Stages(name, chain[:length], kept)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """``module`` in evaluation mode and without gradients meanwhile."""
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(was_training)


def run_modules(model: nn.Module, names: Sequence[str], x: Tensor) -> Tensor:
    """Apply modules of ``model``, by name, one after the other."""
    for name in names:
        x = model.get_submodule(name)(x)
    return x


def keep_modules(model: nn.Module, names: Sequence[str]) -> None:
    """Remove every child of ``model`` that none of ``names`` is in; names stay as they are."""
    kept = {part for name in names for part in (name, name.split(".")[0])}
    for child_name, child in list(model.named_children()):
        if child_name not in kept:
            delattr(model, child_name)
        elif isinstance(child, nn.Sequential) and child_name not in names:
            for item_name, _ in list(child.named_children()):
                if f"{child_name}.{item_name}" not in kept:
                    delattr(child, item_name)


def _module_chain(model: nn.Module) -> tuple[str, ...]:
    names = []
    for name, child in model.named_children():
        if isinstance(child, nn.Sequential):
            names += [f"{name}.{item}" for item, _ in child.named_children()]
        else:
            names.append(name)
    return tuple(names)


def _end_of(module: str, chain: Sequence[str]) -> int:
    """Modules of the chain up to the end of ``module``; 0 where it ends inside one."""
    ends = [i for i, name in enumerate(chain, 1) if name == module or name.startswith(f"{module}.")]
    return max(ends, default=0)


def _verify(
    name: str, model: Any, chain: Sequence[str], in_chans: int, size: int
) -> tuple[int, list[tuple[int, ...]]]:
    """Length of the trunk, and the shape after each module, by running it."""
    device = next(model.parameters()).device
    probe = torch.linspace(-1, 1, in_chans * size * size, device=device)
    x = probe.view(1, in_chans, size, size)
    length, shapes = 0, []
    try:
        with evaluating(model):
            expected = model.forward_features(x)
            for i, module in enumerate(chain, 1):
                x = model.get_submodule(module)(x)
                shapes.append(tuple(x.shape))
                # the last that agrees: blocks that start as the identity agree early
                if x.shape == expected.shape and torch.equal(x, expected):
                    length = i
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, AssertionError):
        # what comes after the trunk may not be callable in a row; the trunk itself must be
        pass
    if not length:
        raise _refusal(name, "modules that are not applied one after the other")
    return length, cast("list[tuple[int, ...]]", shapes)


def _refusal(name: str, found: str) -> ParameterError:
    return ParameterError(
        f"backbone {name}",
        found=found,
        expected="stages of growing stride that give maps (channels, rows, columns)",
        remedy="Use fusion early, or a backbone such as resnet18, efficientnet_b0 or "
        "convnextv2_atto.",
    )
