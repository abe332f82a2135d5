"""How a command speaks: its result on stdout; progress and errors on stderr."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from geolulc.delivery import with_urls
from geolulc.errors import GeolulcError
from geolulc.progress import Progress, ProgressLines
from geolulc.safe_texts import for_json, for_terminal, one_line


def say(text: object, *, err: bool = False) -> None:
    """Print ``text``, in which names of strangers may stand, on stdout or with ``err`` on stderr.

    The only way to the terminal: no file can give it commands.
    """
    click.echo(for_terminal(with_urls(text)), err=err)


def show_all_characters() -> None:
    """What stdout or stderr cannot write (one in ASCII, say) becomes "?" from now on."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


if TYPE_CHECKING:
    from geolulc.outputs.cautions import Caution


def print_result(result: Any, text: str, *, as_json: bool) -> None:
    """Print what a command found: ``result`` with ``--json``, else ``text``."""
    if as_json:
        told = with_urls(json.dumps(result, indent=2, ensure_ascii=not _is_unicode()))
        click.echo(for_json(told))
    elif text:
        say(text)


def print_files(
    result: Mapping[str, Any],
    paths: Mapping[str, Path],
    text: Callable[[Mapping[str, Any], Mapping[str, str]], str],
    *,
    as_json: bool,
) -> None:
    """Print what a command found and the files that it wrote: ``files`` in JSON.

    ``text``: result and files → the text without ``--json``.
    """
    files = {name: str(path) for name, path in paths.items()}
    print_result({**result, "files": files}, text(result, files), as_json=as_json)


def _is_unicode() -> bool:
    return "utf" in (getattr(sys.stdout, "encoding", None) or "").lower()


def exit_with_errors(errors: Sequence[GeolulcError | None], kind: str) -> None:
    """Print the errors of several pieces of work, None for a good one; exit with 1 if any failed.

    ``kind`` names the pieces: "scenes", "periods".
    """
    failed = [error for error in errors if error is not None]
    for error in failed:
        say(f"geolulc: {error}", err=True)
    if failed:
        say(f"geolulc: {len(failed)} of {len(errors)} {kind} failed", err=True)
        sys.exit(1)


def print_cautions(maps: Sequence[Sequence[Caution]]) -> None:
    """Print the cautions of maps on stderr: one line for each kind, however many maps.

    Of those that differ between maps, the first one and how many maps have its kind.
    """
    kinds: dict[str, list[str]] = {}
    for caution in (caution for found in maps for caution in found):
        kinds.setdefault(caution.kind, []).append(caution.text)
    for texts in kinds.values():
        alike = len(maps) == len(texts) and len(set(texts)) == 1
        more = "" if alike else f" ({len(texts)} of {len(maps)} maps: geolulc info MAP)"
        say(f"geolulc: caution: {one_line(texts[0], longest=None)}{more}", err=True)


#: Where ``--progress json`` is kept in a command's context.
_LINES: Final = "geolulc.progress_lines"


def choose_progress(ctx: click.Context, _: click.Parameter, form: str) -> None:
    """Have the command's progress in ``form``, "bar" or "json": the callback of the option."""
    ctx.meta[_LINES] = form == "json"


def progress_lines(description: str, unit: str) -> ProgressLines | None:
    """Progress as lines of JSON on stderr, where the command was given ``--progress json``."""
    ctx = click.get_current_context(silent=True)
    if ctx is None or not ctx.meta.get(_LINES):
        return None
    write = functools.partial(click.echo, err=True)
    return ProgressLines(one_line(description), unit, lambda line: write(for_json(line)))


@contextlib.contextmanager
def progress_bar(description: str, unit: str, *, quiet: bool) -> Iterator[Progress | None]:
    """Progress on stderr, as a function for the library to call: a bar, or lines of JSON."""
    if quiet:
        yield None
        return
    if lines := progress_lines(description, unit):
        try:
            yield lines
        finally:
            lines.close()
        return
    from tqdm import tqdm

    with tqdm(
        desc=one_line(description), unit=f" {unit}", file=sys.stderr, dynamic_ncols=True
    ) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report
