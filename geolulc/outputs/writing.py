"""A map's files, all or none."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from geolulc.landcover_map import LandCoverMap
from geolulc.outputs.cells import summarize_classes
from geolulc.outputs.class_raster import write_classes
from geolulc.outputs.files import DEFAULT_OUTPUTS, plan_outputs
from geolulc.outputs.picture import Backdrop, write_picture
from geolulc.outputs.probabilities import write_probabilities
from geolulc.outputs.vectors import write_vectors
from geolulc.staging import staged


def write_map(
    landcover_map: LandCoverMap,
    out: Path,
    *,
    outputs: Iterable[str] = DEFAULT_OUTPUTS,
    overwrite: bool = False,
    backdrop: Backdrop | None = None,
    dtype: str = "float32",
) -> dict[str, Path]:
    """Write the files of a map beside each other; all appear at the end, map.tif last.

    Args:
        landcover_map: the map.
        out: path of map.tif; the other names derive from it.
        outputs: which files, of ``files.SUFFIXES``.
        overwrite: replace what is there.
        backdrop: a true-colour image for the picture: uint8 (rows, columns, 3) and its transform.
        dtype: encoding of the probabilities, "float32", "uint8" or "uint16".

    Returns:
        Output → its path.

    Raises:
        OutputError: a file exists (without ``overwrite``) or cannot be written.
        ParameterError: an unknown output or dtype.
    """
    paths = plan_outputs(Path(out), outputs)
    # map.tif last: its presence says that the others are complete
    order = sorted(paths, key=lambda name: name == "probabilities")
    summaries = summarize_classes(landcover_map)
    with staged([paths[name] for name in order], overwrite=overwrite) as temporary:
        target = dict(zip(order, temporary, strict=True))
        if "probabilities" in target:
            write_probabilities(target["probabilities"], landcover_map, dtype=dtype)
        if "classes" in target:
            write_classes(target["classes"], landcover_map, summaries)
        if "vectors" in target:
            write_vectors(target["vectors"], landcover_map, summaries)
        if "picture" in target:
            write_picture(target["picture"], landcover_map, summaries, backdrop)
    return paths
