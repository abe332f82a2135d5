"""``geolulc map --workers`` and ``--scheduler``: map scenes on Dask's workers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geolulc.cli.results import progress_bar, say

if TYPE_CHECKING:
    from geolulc.mapping import MapOptions, SceneResult


def map_on_cluster(
    scenes: Sequence[Path],
    out: Path,
    models: Sequence[Path],
    options: MapOptions,
    *,
    band_order: str | None,
    workers: int | None,
    scheduler: str | None,
    retries: int,
    quiet: bool,
    **writing: Any,
) -> list[SceneResult]:
    """``mapping.map_scenes`` on new workers of this machine, or those of a ``scheduler``."""
    from geolulc.cluster.connection import local_cluster, running_cluster
    from geolulc.cluster.model_files import ModelFile
    from geolulc.cluster.scenes import local_threads, map_scenes_on

    files = [ModelFile.of(path, band_order=band_order) for path in models]
    if scheduler is None:
        count = min(workers or 1, len(scenes))
        options = local_threads(options, count)
        cluster = local_cluster(count, retries=retries)
    else:
        cluster = running_cluster(scheduler)
    try:
        with cluster as client, progress_bar("scenes", "scenes", quiet=quiet) as progress:
            return map_scenes_on(
                client, scenes, out, files, options, retries=retries, progress=progress, **writing
            )
    except KeyboardInterrupt:
        say(f"geolulc: {out}: stopped; the same command goes on", err=True)
        sys.exit(130)
