"""One scene → land cover, in Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from geolulc.errors import ParameterError
from geolulc.grid import PATCH_SIZE
from geolulc.landcover_map import LandCoverMap
from geolulc.mapping.mapper import Mapper, Progress
from geolulc.mapping.options import MASKED_SCL, MapOptions
from geolulc.mapping.pixel_run import PixelRun
from geolulc.nets import Model
from geolulc.products import Product, open_product


def predict_scene(
    scene: Product | Path | str,
    model: Model | Sequence[Model],
    *,
    stride: int = PATCH_SIZE,
    resolution: int | None = None,
    min_valid: float = 0.5,
    aoi: Path | str | None = None,
    mask_scl: Sequence[int] = MASKED_SCL,
    overlap: str = "exact",
    runtime: str = "torch",
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    batch_size: int | None = None,
    tta: bool = False,
    progress: Progress | None = None,
) -> LandCoverMap:
    """Land cover of a Sentinel-2 L2A scene.

    Every JP2 tile is decoded once, whatever the stride; decoding and inference share the cores.

    Args:
        scene: a product, or the path of one.
        model: the model, or several of the same classes, whose probabilities are averaged.
        progress: called with (cells done, cells in all).
        stride: and the other options: see ``MapOptions``.

    Returns:
        Probabilities float32 (class, row, column) in 0..1, NaN in nodata cells, with the valid
        and clear share of each cell. Cells outside ``aoi`` are nodata, with shares of 0.

    Raises:
        ProductError: the product cannot be used.
        ParameterError: an argument is out of range.
    """
    options = MapOptions(
        stride=stride,
        resolution=resolution,
        min_valid=min_valid,
        aoi=aoi,
        mask_scl=tuple(mask_scl),
        overlap=overlap,
        runtime=runtime,
        device=device,
        precision=precision,
        threads=threads,
        batch_size=batch_size,
        tta=tta,
    )
    product = scene if isinstance(scene, Product) else open_product(Path(scene))
    models = [model] if isinstance(model, Model) else list(model)
    with Mapper(models, options) as mapper, mapper.open(product) as run:
        if isinstance(run, PixelRun):
            raise ParameterError(
                f"model {models[0].name}",
                found="a model of pixels, of which a tile has 120 million",
                expected="a model of patches",
                remedy="Use predict_pixels for a part of the scene, or map it into files.",
            )
        return run.map(progress)
