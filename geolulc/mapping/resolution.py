"""How fine a map is: what models can, and what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from geolulc.errors import ParameterError
from geolulc.grid import LOCATED_CELLS, PATCH_SIZE
from geolulc.mapping.options import MapOptions
from geolulc.nets import Model
from geolulc.pixel_map import PIXEL_SIZES

_PIXELS: Final = "10, 20 or 60 m"
_CELLS: Final = "320, 160 or 80 m, placed by the model's own evidence"


def choose_resolution(models: Sequence[Model], options: MapOptions) -> int | None:
    """Metres a side of a map's cells or pixels; None for one cell a patch (``stride``).

    Raises:
        ParameterError: the models cannot do what the options ask for.
    """
    first, asked = models[0], options.resolution
    if first.net.task == "pixel":
        if asked not in (None, *PIXEL_SIZES):
            raise _refusal(
                asked,
                f"{first.name}, a model of pixels",
                _PIXELS,
                f"Leave --resolution out for {PIXEL_SIZES[0]} m.",
            )
        if options.stride != PATCH_SIZE or options.overlap != "exact" or _changed(options):
            raise ParameterError(
                f"model {first.name}",
                found=f"stride {options.stride}, overlap {options.overlap}, "
                f"runtime {options.runtime}, precision {options.precision} for a model of pixels",
                expected="none of them: its windows overlap by themselves, in torch and float32",
                remedy="Leave them out.",
            )
        return asked or PIXEL_SIZES[0]
    if asked in PIXEL_SIZES:
        raise _refusal(
            asked,
            f"{first.name}, a model of patches",
            _CELLS,
            f"Use --resolution {LOCATED_CELLS[0]}, or a model trained with --task pixel.",
        )
    if asked is not None and (options.overlap != "exact" or _changed(options) or options.tta):
        raise ParameterError(
            f"resolution {asked} m",
            found=f"overlap {options.overlap}, runtime {options.runtime}, "
            f"precision {options.precision}, tta {options.tta}",
            expected="exact patches in torch and float32, as they are: their evidence has a place",
            remedy="Leave these out; --stride 600 averages over patches that overlap.",
        )
    return asked


def _changed(options: MapOptions) -> bool:
    """Whether convolutions shall run elsewhere than in torch, or in half precision."""
    return options.runtime != "torch" or options.precision not in ("auto", "float32")


def _refusal(asked: int | None, found: str, expected: str, remedy: str) -> ParameterError:
    return ParameterError(f"resolution {asked} m", found=found, expected=expected, remedy=remedy)
