"""Starting a network from weights that others trained, bands matched by name.

A file's first convolution has one slice a band, made for input scaled in its own way. Slices are
taken by band name, and rescaled so that the network sees with our standardised input what the
file's network saw with its own: for a band ``(DN - m) / s`` there and ``(DN - M) / S`` here, the
slice is multiplied by ``S / s`` and the constant ``(M - m) / s`` goes into the bias, or into the
running mean of the batch normalisation that follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from geolulc.errors import CheckpointError
from geolulc.nets.checkpoint_settings import find_settings
from geolulc.nets.config import DYNAMIC_WORLD, HALF_RESOLUTION
from geolulc.nets.normalisation import Normalisation
from geolulc.nets.published_encoders import (
    PREFIX,
    InputConvention,
    convention_of,
    fetch_encoder,
)
from geolulc.nets.shipped import named_file
from geolulc.nets.weight_files import read_weights
from geolulc.staging import file_sha256

#: What training scripts put before timm's names.
_PREFIXES = (
    "",
    "module.",
    "backbone.",
    "encoder.",
    "encoder_q.",
    "module.encoder_q.",
    "model.",
    "model.vision_encoder.",
)
#: Of a network of pixels: its timm model, the decoder's first convolution of the bands, and the
#: head's last layer.
_TRUNK: Final = "trunk.backbone."
_DETAIL: Final = "detail.0.weight"
_LAST: Final = "classifier."


@dataclass(frozen=True)
class EncoderInput:
    """A timm model inside a fusion, and the names of the bands that it takes, in order.

    ``decoder``: of a network of pixels, what follows on it; its branch ``detail`` takes the same
    bands.
    """

    backbone: nn.Module
    bands: tuple[str, ...]
    decoder: nn.Module | None = None


class OneEncoder(nn.Module):
    """A module around one timm model, ``backbone``, which takes ``bands``."""

    backbone: Any
    bands: tuple[str, ...]

    def encoders(self) -> tuple[EncoderInput, ...]:
        """The timm model inside, with the bands that it takes."""
        return (EncoderInput(self.backbone, self.bands),)


class EncoderAResolution(nn.Module):
    """A fusion with an encoder for each resolution: ``encoder10``, ``encoder20``, …"""

    def __init__(self, encoders: Mapping[int, nn.Module]) -> None:
        super().__init__()
        self._resolutions = tuple(encoders)
        for resolution, encoder in encoders.items():
            self.add_module(f"encoder{resolution}", encoder)

    def encoders(self) -> tuple[EncoderInput, ...]:
        """The timm models inside, with the bands that they take."""
        return tuple(e for part in self.by_resolution().values() for e in part.encoders())

    def by_resolution(self) -> dict[int, Any]:
        """Resolution → encoder."""
        return {
            resolution: getattr(self, f"encoder{resolution}") for resolution in self._resolutions
        }


def start_from(
    encoders: Sequence[EncoderInput],
    source: Path | str,
    normalisation: Normalisation,
    head: nn.Module | None = None,
    *,
    reflectance: str = "linear",
    whole_head: bool = False,
) -> dict[str, Any]:
    """Load weights of a file into each encoder.

    Decoders, and the head but for its last layer, are taken too where the file is a network of
    pixels with the same ones: what they have learned is in no encoder, and few labels teach little.

    Args:
        encoders: of one fusion.
        source: a local file of geolulc's, timm's or TorchGeo's weights, the name of a shipped
            model, or "torchgeo:NAME" for a published one.
        normalisation: of what the layers of the network that the encoders are in take.
        head: of a network of pixels.
        reflectance: as in its config.
        whole_head: take its last layer too: the file's classes are wanted.

    Returns:
        JSON-able: what was taken from where, for the checkpoint.

    Raises:
        CheckpointError: the file cannot be read, is of another architecture, or for bands that
            are not known; with ``whole_head``, a file without a head of this size.
    """
    name = str(source)
    if name == DYNAMIC_WORLD:
        raise CheckpointError(
            f"pretrained {name}",
            found="Dynamic World's network, for another fusion",
            expected="fusion dynamicworld, which has its layers",
            remedy="geolulc train … --fusion dynamicworld --backbone dynamicworld.",
        )
    published = name.removeprefix(PREFIX)
    file = fetch_encoder(published) if published != name else named_file(name)
    state = read_weights(file)
    own = _own_encoders(file)
    records, decoded = [], 0
    for encoder in encoders:
        prefix, convention = _most_alike(own, encoder.bands) if own else ("", None)
        part = _below(prefix, state)
        records.append(_start(encoder, file, part, convention, normalisation, reflectance))
        if encoder.decoder is not None and convention is not None:
            decoder = _below(f"{prefix.removesuffix(_TRUNK)}decoder.", state)
            decoded += _continue(encoder.decoder, decoder, convention, encoder.bands, normalisation)
    found = {"file": file.name, "sha256": file_sha256(file), **records[0]}
    decoders = sum(encoder.decoder is not None for encoder in encoders)
    layers = _below("fusion.head.", state)
    if whole_head and head is not None:
        wanted, there = ({k: v.shape for k, v in s.items()} for s in (head.state_dict(), layers))
        if decoded < decoders or wanted != there:
            count = len(layers.get(f"{_LAST}weight", ()))
            expected = "a model of pixels of this network, with as many classes as pixel_classes"
            raise _unfit(file, f"one of {count} classes of pixels", expected)
        head.load_state_dict(layers)
        return found | {"decoder" if decoders else "head": "taken over, with its last layer"}
    if head is None or not decoders or decoded < decoders:
        return found
    _load_alike(head, layers)
    return found | {"decoder": "taken over, with the head but for its last layer"}


def _below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _continue(
    decoder: nn.Module,
    state: Mapping[str, Tensor],
    convention: InputConvention,
    bands: Sequence[str],
    normalisation: Normalisation,
) -> bool:
    """Load a decoder of the same shape, its branch on the bands converted; whether it was one."""
    wanted = {k: v.shape for k, v in decoder.state_dict().items() if k != _DETAIL}
    if {k: v.shape for k, v in state.items() if k != _DETAIL} != wanted or _DETAIL not in state:
        return False
    kernel, constant, _ = _adapt(state[_DETAIL], convention, bands, normalisation)
    loaded = {**state, _DETAIL: kernel}
    _place_constant(decoder, _DETAIL, constant, loaded)
    decoder.load_state_dict(loaded)
    return True


def _load_alike(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load what has its name and shape in ``module``; of a head, all but the last layer."""
    known = {k: v.shape for k, v in module.state_dict().items() if not k.startswith(_LAST)}
    alike = {k: v for k, v in state.items() if known.get(k) == v.shape}
    module.load_state_dict(alike, strict=False)


def _own_encoders(file: Path) -> dict[str, InputConvention]:
    """Prefix → input of the encoders in a checkpoint of geolulc; empty for other files."""
    settings = find_settings(file)
    if settings is None:
        return {}
    groups = settings.bands
    in_decoder = settings.config.task == "pixel" and settings.config.backbone not in HALF_RESOLUTION
    trunk = _TRUNK if in_decoder else "backbone."
    parts = {
        "early": {f"fusion.{trunk}": tuple(b for names in groups.values() for b in names)},
        "intermediate": {f"fusion.{trunk}": groups[min(groups)]},
        "late": {f"fusion.encoder{r}.{trunk}": names for r, names in groups.items()},
    }.get(settings.config.fusion, {})
    reflectance, scale = settings.config.reflectance, settings.seen_by.scale
    scaled = settings.normalisation.of(reflectance, scale)
    convention = InputConvention(
        (),
        scaled.mean,
        scaled.std,
        f"standardised as by {settings.name}",
        reflectance,
    )
    return {prefix: replace(convention, bands=bands) for prefix, bands in parts.items()}


def _most_alike(
    own: Mapping[str, InputConvention], bands: Sequence[str]
) -> tuple[str, InputConvention]:
    return max(own.items(), key=lambda item: len(set(item[1].bands) & set(bands)))


def _start(
    encoder: EncoderInput,
    file: Path,
    state: Mapping[str, Tensor],
    convention: InputConvention | None,
    normalisation: Normalisation,
    reflectance: str,
) -> dict[str, Any]:
    model: Any = encoder.backbone
    wanted = {k: v for k, v in model.state_dict().items() if not _in_head(k, model)}
    found = _strip_prefix(state, wanted)
    first = f"{model.default_cfg['first_conv']}.weight"
    _require_architecture(file, wanted, found, first)
    convention = convention or convention_of(file, found[first].shape[1])
    if convention.std and convention.reflectance != reflectance:
        raise CheckpointError(
            file,
            found=f"weights for {convention.reflectance} reflectance",
            expected=f"{reflectance}, as in the network",
            remedy=f"Set reflectance={convention.reflectance}, or choose other weights.",
        )
    kernel, constant, how = _adapt(found[first], convention, encoder.bands, normalisation)
    loaded = {k: found[k] for k in wanted if k in found}
    loaded[first] = kernel
    if "pos_embed" in loaded and loaded["pos_embed"].shape != wanted["pos_embed"].shape:
        loaded["pos_embed"] = _resample_tokens(file, model, loaded["pos_embed"])
    for key, tensor in loaded.items():
        if tensor.shape != wanted[key].shape:
            expected = f"shape {tuple(wanted[key].shape)}, as in the backbone"
            raise _unfit(file, f"{key} of shape {tuple(tensor.shape)}", expected)
    placed = _place_constant(model, first, constant, loaded)
    model.load_state_dict(loaded, strict=False)
    return {
        "input": convention.text,
        "bands": list(convention.bands),
        "scaling": how if placed else f"{how}; its constant part is left to training",
    }


def _in_head(key: str, model: Any) -> bool:
    """Classifiers are not taken over: their classes are others."""
    classifier = model.default_cfg.get("classifier") or ()
    names = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    return any(key.startswith(f"{name}.") for name in names)


def _strip_prefix(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without the prefix that makes most of them known."""

    def matched(prefix: str) -> int:
        return sum(f"{prefix}{key}" in state for key in wanted)

    best = max(_PREFIXES, key=matched)
    return {k.removeprefix(best): v for k, v in state.items() if k.startswith(best)}


def _require_architecture(
    file: Path, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], first: str
) -> None:
    # encoders of ViTs trained without labels come without the last norm; counters carry nothing
    missing = sorted(
        k
        for k in wanted
        if k not in found and not k.startswith(("norm.", "fc_norm.")) and "num_batches" not in k
    )
    if missing or first not in found or found[first].ndim != wanted[first].ndim:
        found_part = f"{len(missing)} of {len(wanted)} tensors of the backbone missing"
        which = f" (first: {missing[0]})" if missing else ""
        expected = "the weights of this architecture under timm's names"
        raise _unfit(file, found_part + which, expected)


def _adapt(
    kernel: Tensor,
    convention: InputConvention,
    bands: Sequence[str],
    normalisation: Normalisation,
) -> tuple[Tensor, Tensor, str]:
    """The first kernel for ``bands``, the constant to add to its output, and how, in words."""
    slices = dict(zip(convention.bands, kernel.unbind(1), strict=True))
    constant = torch.zeros(kernel.shape[0])
    if convention.std:
        for band, weights in slices.items():
            there, scale = convention.mean[band], convention.std[band]
            # what we do not have, B10 (cirrus), is next to nothing in reflectance
            ours = normalisation.mean.get(band, 0.0)
            constant += weights.flatten(1).sum(1) * (ours - there) / scale
            slices[band] = weights * normalisation.std.get(band, 0.0) / scale
    known = [b for b in bands if b in slices]
    if len(known) == len(bands):
        how = "converted from its input" if convention.std else "taken over"
        return torch.stack([slices[b] for b in bands], dim=1), constant, how
    # as timm does for other band counts: the mean of all for a band that the file does not know,
    # and less of each, so that the sum stays as large
    usable = [s for b, s in slices.items() if b in normalisation.mean]
    filler = torch.stack(usable).mean(dim=0)
    adapted = torch.stack([slices.get(b, filler) for b in bands], dim=1)
    unknown = ", ".join(b for b in bands if b not in slices)
    how = f"by name; {unknown} started from the mean of its bands"
    return adapted * (len(usable) / len(bands)), torch.zeros_like(constant), how


def _place_constant(
    model: nn.Module, first: str, constant: Tensor, loaded: dict[str, Tensor]
) -> bool:
    """Put a constant output of the first convolution where it is kept; False where it is not."""
    if not constant.any():
        return True
    bias = first.replace(".weight", ".bias")
    if bias in loaded:
        loaded[bias] = loaded[bias] + constant
        return True
    modules = list(model.named_modules())
    at = next(i for i, (name, _) in enumerate(modules) if f"{name}.weight" == first)
    if at + 1 < len(modules):
        name, follower = modules[at + 1]
        mean = f"{name}.running_mean"
        if isinstance(follower, nn.BatchNorm2d) and mean in loaded:
            loaded[mean] = loaded[mean] - constant
            return True
    return False


def _resample_tokens(file: Path, model: Any, embedding: Tensor) -> Tensor:
    try:
        prefix = 0 if getattr(model, "no_embed_class", False) else model.num_prefix_tokens
        size = list(model.patch_embed.grid_size)
        return cast(Tensor, resample_abs_pos_embed(embedding, size, num_prefix_tokens=prefix))
    except (AttributeError, RuntimeError, ValueError, AssertionError) as error:
        found = f"position embeddings that cannot be resampled ({error})"
        raise _unfit(file, found, "one for each token of a square image") from error


def _unfit(file: Path, found: str, expected: str) -> CheckpointError:
    remedy = "Choose the backbone that the weights were made for."
    return CheckpointError(file, found=found, expected=expected, remedy=remedy)
