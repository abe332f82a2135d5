"""Two map.tif, of cells or of pixels, compared into files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from geolulc.outputs.change import compare_maps
from geolulc.outputs.change_files import describe_change, plan_change, write_change
from geolulc.outputs.pixel_change import compare_pixels
from geolulc.outputs.pixel_reading import is_pixel_map
from geolulc.outputs.reading import read_map
from geolulc.staging import require_free


def compare_files(
    before: Path, after: Path, out: Path, *, overwrite: bool = False
) -> tuple[dict[str, Path], dict[str, Any]]:
    """Write what changed between two maps of one grid: part → path, and the story in figures.

    Files as in ``change_files.write_change``, figures as in ``change_files.describe_change``.

    Raises:
        OutputError: an input is no map, or is one of cells where the other is one of pixels; or
            a file exists (without ``overwrite``) or cannot be written.
        ParameterError: the maps' grids, nomenclatures or classes differ.
    """
    require_free(list(plan_change(Path(out)).values()), overwrite=overwrite)
    if is_pixel_map(before) or is_pixel_map(after):
        return compare_pixels(before, after, out, overwrite=overwrite)
    comparison = compare_maps(read_map(before), read_map(after))
    return write_change(comparison, out, overwrite=overwrite), describe_change(comparison)
