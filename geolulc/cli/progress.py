"""Progress on stderr, never on stdout."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from geolulc.progress import Progress


@contextlib.contextmanager
def progress_bar(description: str, unit: str, *, quiet: bool) -> Iterator[Progress | None]:
    """A progress bar with rate and time left, as a function for the library to call."""
    if quiet:
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=description, unit=f" {unit}", file=sys.stderr, dynamic_ncols=True) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report
