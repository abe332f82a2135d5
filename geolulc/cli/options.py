"""Options that several commands share, spelled once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from geolulc.cli.results import choose_progress
from geolulc.delivery import delivering
from geolulc.errors import ParameterError
from geolulc.object_stores import is_url
from geolulc.ownership import reading
from geolulc.staging import require_file_system

if TYPE_CHECKING:
    from geolulc.nomenclature import Nomenclature

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class _Path(click.Path):
    """A path that the system can ask for; whether the right thing is there, the library says."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; ``ParameterError`` for one that no system call takes."""
        try:
            str(value).encode()
            Path(value).stat()
        except UnicodeEncodeError:
            raise _unusable(value, "bytes in its name that are no UTF-8") from None
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:  # a name too long, a folder that may not be looked into
            raise _unusable(value, error.strerror or type(error).__name__) from None
        return super().convert(value, param, ctx)


class _Input(_Path):
    """The path of an input, which no output of the command may replace."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; it is being read until the command ends."""
        path = super().convert(value, param, ctx)
        if ctx is not None:
            ctx.with_resource(reading([os.fsdecode(path)]))
        return path


class _Output(_Path):
    """The path of an output on a file system."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; ``OutputError`` for a URL."""
        require_file_system(value)
        return super().convert(value, param, ctx)


class _Result(_Output):
    """The path of an output, or the URL of one in an object store."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; for a URL one that stands for it until the command ends."""
        if ctx is not None and is_url(value):
            return ctx.with_resource(delivering(str(value)))
        return super().convert(value, param, ctx)


def _unusable(path: object, found: str) -> ParameterError:
    return ParameterError(
        path, found=found, expected="a path that can be used", remedy="Give another path."
    )


#: The path of an output. What is wrong with it is the library's to say (exit code 1).
OUTPUT = _Output(path_type=Path)
#: The path of an output that is written at once, or its URL in an object store (s3://…).
RESULT = _Result(path_type=Path)
#: A path that is read. What is wrong with it is the library's to say (exit code 1).
PATH = _Input(path_type=Path)
#: A path that is read, or something else.
PATH_OR_TEXT = _Input(path_type=str)


def names(text: str) -> tuple[str, ...]:
    """The type of "A, B" → ("A", "B")."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def whole_numbers(text: str) -> tuple[int, ...]:
    """The type of "0, 100" → (0, 100)."""
    try:
        return tuple(int(part) for part in names(text))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of whole numbers") from None


def take_fields(kind: Callable[..., T], options: dict[str, Any]) -> T:
    """The dataclass ``kind`` of the options that are called like its fields; they leave the rest.

    A field without an option keeps its default.
    """
    fields = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: options.pop(name) for name in fields if name in options})


def settings_options(of_what: str) -> Callable[[F], F]:
    """``--config`` and ``--set``: settings of training; ``read_settings`` reads them."""

    values = click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="Any other setting; docs/training.md lists them.",
    )
    file = click.option("--config", type=PATH, metavar="TOML", help=of_what)
    return lambda command: file(values(command))


def read_settings(
    config: Path | None, settings: Sequence[str], flags: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Settings of the file ``config``, then of ``flags`` that are given, then of ``--set``."""
    from geolulc.learning.config import parse_setting, read_config

    given = {} if config is None else read_config(config)
    given |= {name: value for name, value in (flags or {}).items() if value is not None}
    return given | dict(parse_setting(text) for text in settings)


def read_nomenclature(place: str) -> Nomenclature:
    """The nomenclature that an option or argument names: built in, or in a file.

    Raises:
        GeolulcError: the file holds none.
    """
    if place.lower().endswith((".tif", ".tiff")):
        from geolulc.accuracy.classified import raster_nomenclature

        return raster_nomenclature(Path(place))
    from geolulc.nomenclature_files import find_nomenclature

    return find_nomenclature(place)


def coarser_option(text: str) -> Callable[[F], F]:
    """``--as``: a nomenclature that holds the classes of a map, for the use that ``text`` says."""
    return click.option(
        "--as",
        "coarser",
        type=PATH_OR_TEXT,
        callback=lambda _ctx, _param, value: None if value is None else read_nomenclature(value),
        metavar="NAME|TOML",
        help=f"{text} of a coarser nomenclature: clc1, say, or a TOML file whose classes list "
        "those that they hold.",
    )


def out_option(text: str, **settings: Any) -> Callable[[F], F]:
    """``--out`` or ``-o``: the path or URL of the result, which ``text`` describes."""
    return click.option(
        "--out", "-o", **{"type": RESULT, "required": True, "help": text, **settings}
    )


def split_option(default: str) -> Callable[[F], F]:
    """``--split``: the split of a store that models are scored on."""
    return click.option(
        "--split",
        default=default,
        show_default=True,
        metavar="train|val|test",
        help="Split of the store to score on.",
    )


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON, for programs."
)
overwrite_option = click.option(
    "--overwrite",
    count=True,
    help="Replace files that geolulc wrote; given twice, any files of the outputs' names.",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
progress_option = click.option(
    "--progress",
    type=click.Choice(("bar", "json")),
    default="bar",
    show_default=True,
    expose_value=False,
    callback=choose_progress,
    help="Progress on stderr: a bar for people, or a line of JSON at a time for programs.",
)
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:N]|mps",
    help="Device that the network runs on; auto takes a GPU where there is one.",
)
_SHARED = {
    "json": json_option,
    "overwrite": overwrite_option,
    "quiet": lambda command: quiet_option(progress_option(command)),
    "device": device_option,
}


def shared_options(*names: str) -> Callable[[F], F]:
    """The options called ``names``, in the order of the help page: "json", "device", …"""

    def add(command: F) -> F:
        for name in reversed(names):
            command = _SHARED[name](command)
        return command

    return add


allow_internal_option = click.option(
    "--allow-internal", is_flag=True, help="Also ask servers of this machine and its network."
)
threads_option = click.option(
    "--threads",
    type=int,
    metavar="N",
    help="Threads that decode images and compute.  [default: all cores]",
)
verify_option = click.option(
    "--verify/--no-verify",
    default=True,
    help="Compare the images with the checksums that came with them, or not.",
)
band_order_option = click.option(
    "--band-order",
    metavar="VERSION|BANDS",
    help="Order of the bands of a published model whose name does not tell its version: v0.2.0, "
    "v0.1.1, or the names of the bands.",
)
map_classes_option = click.option(
    "--classes",
    type=PATH,
    metavar="TOML|NAME",
    help="Nomenclature of MAP where MAP does not bring its own: a name that “geolulc classes” "
    "lists, or a TOML file.",
)
epochs_option = click.option(
    "--epochs", type=int, metavar="N", help="How often the patches of the train split are seen."
)


def layer_option(of_what: str) -> Callable[[F], F]:
    """``--layer``: which layer of a vector file; ``of_what`` names the file."""
    return click.option(
        "--layer", metavar="NAME", help=f"Layer of {of_what}, where the file has several."
    )


def mask_scl_option(text: str, kind: Callable[[str], tuple[int, ...]]) -> Callable[[F], F]:
    """``--mask-scl``: codes of the scene classification, whose use ``text`` says."""
    return click.option(
        "--mask-scl",
        type=kind,
        default="0,1,3,8,9,10",
        show_default=True,
        metavar="CODE,…",
        help=text,
    )


def baseline_option(text: str) -> Callable[[F], F]:
    """``--baseline``: a simple model beside the network, on what ``text`` says."""
    return click.option("--baseline", type=click.Choice(["forest"]), help=text)


def remote_options(command: F) -> F:
    """``--service`` and ``--allow-internal``: which servers are asked."""
    service = click.option(
        "--service",
        metavar="URL",
        help="Address of another service that answers as Copernicus does.  "
        "[default: dataspace.copernicus.eu]",
    )
    return service(allow_internal_option(command))


def stac_options(command: F) -> F:
    """``--stac`` and ``--collection``: a STAC API in place of files, or of Copernicus."""
    api = click.option("--stac", metavar="URL", help="Find the scenes in this STAC API.")
    collection = click.option(
        "--collection", metavar="ID", help="Collection of the STAC API, such as sentinel-2-c1-l2a."
    )
    return api(collection(command))


def period_options(*, required: bool) -> Callable[[F], F]:
    """``--dates`` and ``--max-cloud``: which products of a place."""
    dates = click.option(
        "--dates",
        required=required,
        metavar="FIRST/LAST",
        help="First and last day, as 2024-06-01/2024-06-30.",
    )
    cloud = click.option(
        "--max-cloud",
        type=click.FloatRange(0, 100),
        default=100.0,
        show_default=True,
        metavar="PERCENT",
        help="Largest share of a product that clouds may cover.",
    )
    return lambda command: dates(cloud(command))
