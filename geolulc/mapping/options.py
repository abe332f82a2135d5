"""What a user chooses about mapping, checked before any work is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from geolulc.errors import ParameterError

#: Scene classification codes that hide the ground: no data, saturated, cloud shadow, cloud of
#: medium and high probability, thin cirrus. Snow (11) is land cover of its season and stays.
MASKED_SCL: Final = (0, 1, 3, 8, 9, 10)
OVERLAPS: Final = ("exact", "shared")
RUNTIMES: Final = ("torch", "onnx")
_MOST: Final = {"threads": 1024, "batch_size": 1_000_000}
PRECISIONS: Final = ("auto", "float32", "fp16", "bf16")


@dataclass(frozen=True, slots=True)
class MapOptions:
    """Choices of ``predict_scene``.

    Attributes:
        stride: side of a cell in metres, a multiple of 60 up to 1200.
        resolution: metres of one of the sensor's pixels with pixel models (of Sentinel-2 10, 20 or
            60); 320, 160 or 80 with patch models, whose answers are then placed inside their
            patches; None: a cell for each patch, or the finest pixels.
        min_valid: cells with a smaller share of valid pixels in their patch become nodata.
        min_clear: so do cells with a smaller clear share; 0: none. Of maps of pixels every
            pixel that is not clear is nodata.
        allow_empty: a map without a cell that has data is written; else it is an error.
        aoi: only cells that this touches: a vector file in any CRS (all layers that hold
            polygons; where none does, points and lines), or "west,south,east,north" in degrees;
            None: the whole scene.
        mask_scl: codes of the scene classification that are not clear; empty: do not read it.
        overlap: "exact": every patch by itself; "shared": where patches overlap, their
            convolutions are computed once.
        runtime: "torch", or "onnx": ONNX Runtime, on a CPU, for exact patches.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: of the convolutions of patch models: "float32", "fp16", "bf16"; "auto": fp16 on
            CUDA, else float32.
        threads: for decoding and, on a CPU, inference; None: one a core.
        batch_size: patches in a batch; None: by device and threads.
        verify: compare images with the checksums that came with them, before they are decoded.
        tta: average over the eight flips and quarter turns: eight times the inference.
        geographic_prior: shift probabilities to the class frequencies around each patch, with
            models that know them (``nets/geographic_prior.py``).
        offset: what to add to digital numbers of STAC Items where it is not known; None: refuse.
        allow_internal: servers of this machine and its network may be asked for images of Items.
    """

    stride: int | None = None
    resolution: int | None = None
    min_valid: float = 0.5
    min_clear: float = 0.5
    allow_empty: bool = False
    aoi: Path | str | None = None
    mask_scl: tuple[int, ...] = MASKED_SCL
    overlap: str = "exact"
    runtime: str = "torch"
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    batch_size: int | None = None
    verify: bool = True
    tta: bool = False
    geographic_prior: bool = True
    offset: int | None = None
    allow_internal: bool = False

    @property
    def files(self) -> list[Path | str]:
        """What the options name that is read."""
        return [] if self.aoi is None else [self.aoi]

    def __post_init__(self) -> None:
        if self.stride is not None and self.stride < 1:
            raise ParameterError(
                "stride",
                found=f"{self.stride} m",
                expected="metres between patches, up to the size of one",
                remedy="Leave it out for patches side by side.",
            )
        for name in ("min_valid", "min_clear"):
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(
                    name.replace("_", "-"),
                    found=getattr(self, name),
                    expected="a share in 0..1",
                    remedy="The default is 0.5.",
                )
        unknown = [code for code in self.mask_scl if not 0 <= code <= 11]
        if unknown:
            raise ParameterError(
                "mask-scl",
                found=", ".join(map(str, unknown)),
                expected="codes of the scene classification, 0..11",
                remedy=f"The default is {','.join(map(str, MASKED_SCL))}.",
            )
        for name, known in (
            ("overlap", OVERLAPS),
            ("runtime", RUNTIMES),
            ("precision", PRECISIONS),
        ):
            if getattr(self, name) not in known:
                raise ParameterError(
                    name,
                    found=repr(getattr(self, name)),
                    expected=listed(known),
                    remedy=f"The default is {known[0]}.",
                )
        if self.overlap == "shared" and self.tta:
            raise ParameterError(
                "overlap",
                found="shared, with tta",
                expected="one of the two: a shared stretch cannot be turned for each patch",
                remedy="Use --overlap exact for test-time augmentation.",
            )
        if self.runtime == "onnx" and self.precision not in ("auto", "float32"):
            raise ParameterError(
                "precision",
                found=f"{self.precision} with runtime onnx",
                expected="float32 there",
                remedy="Leave it out, or use --runtime torch.",
            )
        for name in _MOST:
            value = getattr(self, name)
            if value is not None and not 1 <= value <= _MOST[name]:
                raise ParameterError(
                    name.replace("_", "-"),
                    found=value,
                    expected=f"1 to {_MOST[name]}",
                    remedy="Leave it out for what suits the machine.",
                )


def listed(values: tuple[int, ...] | tuple[str, ...]) -> str:
    """Values in words: "10, 20 or 60"."""
    return ", ".join(map(str, values[:-1])) + f" or {values[-1]}"
