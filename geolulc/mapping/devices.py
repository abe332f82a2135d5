"""Where the network runs."""

from __future__ import annotations

import torch

from geolulc.errors import ParameterError


def choose_device(name: str = "auto") -> torch.device:
    """The device called ``name``: "cpu", "cuda", "cuda:1", "mps"; "auto" takes a GPU if any.

    ``ParameterError`` for one that is not there.
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
