"""In how many bits convolutions are computed: float32, or half of that where it is faster."""

from __future__ import annotations

from typing import Final

import torch

_TYPES: Final = {"float32": None, "fp16": torch.float16, "bf16": torch.bfloat16}


def inference_type(precision: str, device: torch.device) -> torch.dtype | None:
    """The type that convolutions run in, None for float32.

    "auto" is fp16 on CUDA and float32 elsewhere. Of the two half types fp16 is the closer one, by
    seven to ten times (docs/mapping.md): weights and normalised bands need its digits, and not
    the range of bf16. Should a value be too large for it, ``Ensemble`` computes that batch again.
    Training, whose gradients need the range, takes bf16.
    """
    if precision == "auto":
        return torch.float16 if device.type == "cuda" else None
    return _TYPES[precision]
