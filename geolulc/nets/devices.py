"""Where a network runs, and in which precision."""

from __future__ import annotations

import contextlib

import torch

from geolulc.errors import ParameterError


def choose_device(name: str = "auto") -> torch.device:
    """The device called ``name`` ("auto", "cpu", "cuda", "cuda:1", "mps").

    "auto" is CUDA, else MPS, else the CPU. ``ParameterError`` for one that is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        # a device that is not there shows only when it is used
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ParameterError(
            f"device {name!r}",
            found=str(error).splitlines()[0],
            expected="auto, cpu, cuda, cuda:N or mps, on a machine that has it",
            remedy="Use auto.",
        ) from None
    return device


def autocast_type(precision: str, device: torch.device) -> torch.dtype | None:
    """The type that convolutions run in, None for float32.

    "auto" is bf16 on CUDA (fp16 where the GPU has no bf16) and float32 elsewhere: bf16 on a CPU
    without native support is several times slower.
    """
    if precision == "auto":
        if device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if precision == "fp16" and device.type == "cpu":
        raise ParameterError(
            "precision",
            found="fp16 on a CPU",
            expected="float32 or bf16 there",
            remedy="Use auto.",
        )
    return {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def autocast(
    dtype: torch.dtype | None, device: torch.device
) -> contextlib.AbstractContextManager[object]:
    """The context that networks run in."""
    if dtype is None:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype)
