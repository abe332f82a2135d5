"""The golden cases: maps of both kinds, what is made of them, and the facts of all files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import geopandas
import shapely
from golden.facts import Facts, of_prediction
from golden.making import (
    SCENE_HEIGHT,
    SCENE_WIDTH,
    Place,
    class_names,
    command,
    scene_facts,
    write_cells,
    write_model,
    write_pixels,
    write_scene,
)
from golden.values import cell_values, picture, pixel_values

CELL_OUTPUTS: Final = (
    "probabilities", "classes", "presence", "uncertainty", "vectors", "stac", "picture", "report",
)  # fmt: skip
PIXEL_OUTPUTS: Final = (
    "classes", "confidence", "top3", "probabilities", "vectors", "stac", "picture", "report",
)  # fmt: skip
ALL: Final = class_names()
#: Six of the classes, for mosaics.
SIX: Final = (ALL[0], ALL[2], ALL[5], ALL[8], ALL[10], ALL[18])
#: The last row and column are cut at the tile's edge.
CUT: Final = Place("EPSG:32632", 600_000.0, 5_100_000.0, 6_600, 5_400, 1200)
SOUTH: Final = Place("EPSG:32722", 600_000.0, 7_900_000.0, 6_600, 5_400, 600)
#: 270 × 310 cells.
FINE: Final = Place("EPSG:32632", 600_000.0, 5_100_000.0, 18_600, 16_200, 60)
#: 1,050 × 1,116 pixels, and 660 × 720.
WIDE: Final = Place("EPSG:32632", 600_000.0, 5_100_000.0, 11_160, 10_500, 10)
SMALL: Final = Place("EPSG:32632", 600_000.0, 5_100_000.0, 7_200, 6_600, 10)
#: 240 × 306 pixels of 20 m of a larger tile.
PART: Final = Place(
    "EPSG:32633", 399_960.0, 4_600_020.0, 12_000, 9_600, 20, part=(1_800, 2_400, 4_800, 6_120)
)
#: Where the four maps of cells of 120 m lie (200 × 180 each, together 320 × 300), and when.
FOUR: Final = (
    (0, 0, "2024-06-05T10:00:00Z"),
    (14_400, -1_200, "2024-06-25T10:00:00Z"),
    (1_200, -12_000, "2024-07-05T10:00:00Z"),
    (13_200, -14_400, "2024-07-15T10:00:00Z"),
)
#: The same of three maps of pixels of 20 m: 330 × 402 pixels each, together 540 × 642.
THREE: Final = (
    (0, 0, "2024-06-05T10:00:00Z"),
    (4_800, -600, "2024-06-25T10:00:00Z"),
    (2_400, -4_200, "2024-07-05T10:00:00Z"),
)


@dataclass(frozen=True)
class Studio:
    """Makes what cases share, once, below ``root``."""

    root: Path

    def folder(self, name: str) -> Path:
        """A new folder."""
        made = self.root / name
        made.mkdir()
        return made

    def once(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder ``name``, filled at the first call."""
        made = self.root / name
        if not made.exists():
            try:
                make(self.folder(name))
            except BaseException:
                shutil.rmtree(made)  # what is half made would puzzle the next case
                raise
        return made

    def facts(self, *, resampled: bool = False) -> Facts:
        return Facts(self.root, resampled=resampled)

    def cell_map(self, seed: int) -> Path:
        """A small map of cells."""

        def make(folder: Path) -> None:
            values = cell_values(len(ALL), *CUT.shape, seed=seed)
            scene = scene_facts(f"scene-{seed}", f"2024-0{seed}-05T10:00:00Z")
            write_cells(folder / "map.tif", CUT, values, CELL_OUTPUTS[:4], classes=ALL, scene=scene)

        return self.once(f"cells-{seed}", make) / "map.tif"

    def pixel_map(self, seed: int) -> Path:
        """A small map of pixels."""

        def make(folder: Path) -> None:
            steps = pixel_values(len(SIX), *SMALL.shape, seed=seed)
            scene = scene_facts(f"scene-{seed}", f"2024-0{seed}-05T10:00:00Z")
            outputs = ("classes", "confidence", "top3")
            write_pixels(folder / "map.tif", SMALL, steps, outputs, classes=SIX, scene=scene)

        return self.once(f"pixels-{seed}", make) / "map.tif"

    def cell_maps(self) -> Path:
        """Four maps of cells that overlap, two of them in bytes, one without clear shares."""

        def make(folder: Path) -> None:
            for i, (x, y, time) in enumerate(FOUR):
                place = Place("EPSG:32632", 600_000.0 + x, 5_100_000.0 + y, 24_000, 21_600, 120)
                p, valid, clear = cell_values(
                    len(SIX), *place.shape, seed=20 + i, step=24, holes=97
                )
                write_cells(
                    folder / f"map{i}.tif",
                    place,
                    (p, valid, None if i == 1 else clear),
                    ("probabilities", "uncertainty", *(("stac",) if i == 0 else ())),
                    # found by name
                    classes=SIX,
                    scene=scene_facts(f"scene-{i}", time),
                    dtype="uint8" if i % 2 else "float32",
                )

        return self.once("maps-of-cells", make)

    def pixel_maps(self, evidence: str) -> Path:
        """Three maps of pixels that overlap and are known as well as ``evidence`` says."""
        outputs = {
            "probabilities": ("classes", "confidence", "top3", "probabilities", "stac"),
            "top3": ("classes", "confidence", "top3"),
            "confidence": ("classes", "confidence"),
        }[evidence]

        def make(folder: Path) -> None:
            for i, (x, y, time) in enumerate(THREE):
                place = Place("EPSG:32632", 600_000.0 + x, 5_100_000.0 + y, 8_040, 6_600, 20)
                steps = pixel_values(len(SIX), *place.shape, seed=30 + i, step=30)
                scene = scene_facts(f"scene-{i}", time)
                path = folder / f"map{i}.tif"
                write_pixels(path, place, steps, outputs, classes=SIX, scene=scene)

        return self.once(f"maps-of-pixels-{evidence}", make)

    def zones(self) -> Path:
        """Polygons over a part of the small maps, with a hole, a line's width and one outside."""

        def make(folder: Path) -> None:
            x, y = CUT.left, CUT.top
            ring = shapely.Point(x + 3_000, y - 2_500).buffer(1_700, quad_segs=3)
            shapes = {
                "box": shapely.box(x + 600, y - 3_300, x + 3_950, y - 710),
                "ring": ring.difference(shapely.box(x + 2_500, y - 3_000, x + 3_500, y - 2_000)),
                "strip": shapely.box(x - 500, y - 1_003, x + 9_000, y - 1_000),
                "edge": shapely.box(x + 5_900, y - 9_000, x + 9_000, y - 4_700),
                "two": shapely.union_all(
                    [shapely.box(x, y - 60, x + 60, y), shapely.box(x + 90, y - 99, x + 130, y)]
                ),
                "outside": shapely.box(x - 9_000, y, x - 8_000, y + 1_000),
            }
            table = geopandas.GeoDataFrame(
                {"name": list(shapes)}, geometry=list(shapes.values()), crs=CUT.crs
            )
            table.to_file(folder / "zones.gpkg", layer="districts")
            table.iloc[:3].to_crs(4326).to_file(folder / "degrees.geojson")

        return self.once("zones", make)

    def model(self) -> Path:
        """A checkpoint, for what is said of it."""

        def make(folder: Path) -> None:
            write_model(folder / "patches.safetensors")

        return self.once("models", make) / "patches.safetensors"

    def pixel_model(self) -> Path:
        """A checkpoint of pixels."""

        def make(folder: Path) -> None:
            write_model(folder / "pixels.safetensors", task="pixel")

        return self.once("pixel-models", make) / "pixels.safetensors"

    def scene(self) -> Path:
        """A product."""

        def make(folder: Path) -> None:
            write_scene(folder)

        return next(self.once("scenes", make).glob("*.SAFE"))


Case = Callable[[Studio, Facts], dict[str, Any]]
#: Name → what makes its files and looks at them.
CASES: dict[str, Case] = {}


def _case(name: str) -> Callable[[Case], Case]:
    def add(case: Case) -> Case:
        CASES[name] = case
        return case

    return add


def _with_info(facts: Facts, folder: Path, main: str = "map.tif") -> dict[str, Any]:
    """Facts of a folder, and what ``geolulc info`` says of its map."""
    found = facts.of_folder(folder)
    found["info"] = facts.plain(json.loads(command("info", folder / main, "--json")))
    found["info, text"] = facts.text(command("info", folder / main))
    return found


# (a) and (b): maps of cells


@_case("cells-float32-gpkg")
def _cells_float32(studio: Studio, facts: Facts) -> dict[str, Any]:
    folder = studio.folder("cells-float32-gpkg")
    write_cells(
        folder / "map.tif",
        CUT,
        cell_values(len(ALL), *CUT.shape, seed=1),
        CELL_OUTPUTS,
        classes=ALL,
        backdrop=picture(90, 110),
        model=facts.hide_model(studio.model()),
    )
    return _with_info(facts, folder)


@_case("cells-uint8-parquet")
def _cells_uint8(studio: Studio, facts: Facts) -> dict[str, Any]:
    folder = studio.folder("cells-uint8-parquet")
    place = replace(CUT, size=600)
    write_cells(
        folder / "map.tif",
        place,
        cell_values(len(ALL), *place.shape, seed=2),
        CELL_OUTPUTS,
        classes=ALL,
        dtype="uint8",
        vector_format="parquet",
    )
    return _with_info(facts, folder)


@_case("cells-uint16-flatgeobuf")
def _cells_uint16(studio: Studio, facts: Facts) -> dict[str, Any]:
    """South of the equator, of another nomenclature, no scene classification, no file of cells."""
    folder = studio.folder("cells-uint16-flatgeobuf")
    classes = class_names("clc43")[::4]
    p, valid, _ = cell_values(len(classes), *SOUTH.shape, seed=3)
    write_cells(
        folder / "map.tif",
        SOUTH,
        (p, valid, None),
        CELL_OUTPUTS,
        classes=classes,
        scheme="clc43",
        dtype="uint16",
        vector_format="flatgeobuf",
        cells=False,
    )
    return _with_info(facts, folder)


@_case("cells-fine")
def _cells_fine(studio: Studio, facts: Facts) -> dict[str, Any]:
    """More than one block each way."""
    folder = studio.folder("cells-fine")
    values = cell_values(len(ALL), *FINE.shape, seed=4, step=24, holes=97)
    write_cells(folder / "map.tif", FINE, values, CELL_OUTPUTS, classes=ALL, dtype="uint8")
    return _with_info(facts, folder)


# (c): maps of pixels


@_case("pixels-all")
def _pixels_all(studio: Studio, facts: Facts) -> dict[str, Any]:
    folder = studio.folder("pixels-all")
    write_pixels(
        folder / "map.tif",
        WIDE,
        pixel_values(len(ALL), *WIDE.shape, seed=1),
        PIXEL_OUTPUTS,
        classes=ALL,
        backdrop=picture(90, 110),
        model=facts.hide_model(studio.pixel_model()),
    )
    return _with_info(facts, folder)


@_case("pixels-of-every-size")
def _pixels_min_area(studio: Studio, facts: Facts) -> dict[str, Any]:
    folder = studio.folder("pixels-of-every-size")
    place = replace(SMALL, width=6_000, height=5_400)
    steps = pixel_values(len(SIX), *place.shape, seed=2)
    write_pixels(
        folder / "map.tif", place, steps, ("classes", "vectors"), classes=SIX,
        min_area=0.0, vector_format="parquet",
    )  # fmt: skip
    return _with_info(facts, folder)


@_case("pixels-few-polygons")
def _pixels_max_polygons(studio: Studio, facts: Facts) -> dict[str, Any]:
    """Vectors alone: what they are made from is not kept."""
    folder = studio.folder("pixels-few-polygons")
    steps = pixel_values(len(ALL), *SMALL.shape, seed=3)
    write_pixels(
        folder / "map.tif", SMALL, steps, ("vectors",), classes=ALL,
        max_polygons=100, vector_format="flatgeobuf",
    )  # fmt: skip
    return facts.of_folder(folder)


@_case("pixels-part")
def _pixels_part(studio: Studio, facts: Facts) -> dict[str, Any]:
    """A part of a tile, in pixels of 20 m, of classes that are not all of the nomenclature."""
    folder = studio.folder("pixels-part")
    steps = pixel_values(len(SIX), *PART.shape, seed=4, step=18)
    outputs = (*PIXEL_OUTPUTS[:3], *PIXEL_OUTPUTS[4:])
    write_pixels(folder / "map.tif", PART, steps, outputs, classes=SIX)
    return _with_info(facts, folder)


# (d): mosaics of cells


def _mosaic(studio: Studio, facts: Facts, name: str, *arguments: object) -> dict[str, Any]:
    folder = studio.folder(name)
    told = command("mosaic", *arguments, "-o", folder / "map.tif", "--json", "-q")
    return {**_with_info(facts, folder), "told": facts.plain(json.loads(told))}


@_case("mosaic-cells-mean")
def _mosaic_cells(studio: Studio, facts: Facts) -> dict[str, Any]:
    return _mosaic(studio, facts, "mosaic-cells-mean", studio.cell_maps(), "--report", "--no-cells")


@_case("mosaic-cells-median")
def _mosaic_cells_median(studio: Studio, facts: Facts) -> dict[str, Any]:
    return _mosaic(
        studio, facts, "mosaic-cells-median", studio.cell_maps(), "--combine", "median",
        "--dtype", "uint8", "--outputs", "probabilities,classes,uncertainty,observations",
    )  # fmt: skip


@_case("mosaic-cells-max")
def _mosaic_cells_max(studio: Studio, facts: Facts) -> dict[str, Any]:
    return _mosaic(
        studio, facts, "mosaic-cells-max", studio.cell_maps(), "--combine", "max",
        "--dtype", "uint16", "--outputs", "probabilities,presence,confidence,observations",
    )  # fmt: skip


@_case("mosaic-cells-latest")
def _mosaic_cells_latest(studio: Studio, facts: Facts) -> dict[str, Any]:
    return _mosaic(
        studio, facts, "mosaic-cells-latest", studio.cell_maps(), "--combine", "latest",
        "--min-weight", "0.3", "--outputs", "probabilities,vectors,observations", "--no-cells",
    )  # fmt: skip


@_case("mosaic-cells-resampled")
def _mosaic_cells_resampled(studio: Studio, facts: Facts) -> dict[str, Any]:
    facts.resampled = True
    return _mosaic(
        studio, facts, "mosaic-cells-resampled", studio.cell_maps(), "--crs", "EPSG:3035",
        "--cell-size", "300", "--outputs", "probabilities,classes,observations,stac", "--report",
    )  # fmt: skip


@_case("mosaic-cells-months")
def _mosaic_cells_months(studio: Studio, facts: Facts) -> dict[str, Any]:
    return _months(studio, facts, "mosaic-cells-months", studio.cell_maps(), "probabilities,stac")


def _months(studio: Studio, facts: Facts, name: str, maps: Path, outputs: str) -> dict[str, Any]:
    """A mosaic a month, and the same again, when all is there."""
    folder = studio.folder(name)
    call = (
        "mosaic", maps, "-o", folder, "--group-by", "month", "--outputs", outputs, "--json", "-q",
    )  # fmt: skip
    told, again = (facts.plain(json.loads(command(*call))) for _ in range(2))
    return {**facts.of_folder(folder), "told": told, "told again": again}


# (e): mosaics of pixels


@_case("mosaic-pixels-probabilities")
def _mosaic_pixels(studio: Studio, facts: Facts) -> dict[str, Any]:
    outputs = ",".join((*PIXEL_OUTPUTS, "observations"))
    maps = studio.pixel_maps("probabilities")
    return _mosaic(studio, facts, "mosaic-pixels-probabilities", maps, "--outputs", outputs)


@_case("mosaic-pixels-top3")
def _mosaic_pixels_top3(studio: Studio, facts: Facts) -> dict[str, Any]:
    maps = studio.pixel_maps("top3")
    return _mosaic(studio, facts, "mosaic-pixels-top3", maps, "--report", "--min-area", "0.1")


@_case("mosaic-pixels-confidence")
def _mosaic_pixels_confidence(studio: Studio, facts: Facts) -> dict[str, Any]:
    maps = studio.pixel_maps("confidence")
    return _mosaic(
        studio, facts, "mosaic-pixels-confidence", maps, "--outputs",
        "classes,confidence,top3,observations",
    )  # fmt: skip


def _add_combination(combine: str) -> None:
    name = f"mosaic-pixels-{combine}"

    @_case(name)
    def _combined(studio: Studio, facts: Facts) -> dict[str, Any]:
        return _mosaic(
            studio, facts, name, studio.pixel_maps("probabilities"), "--combine", combine,
            "--outputs", "classes,probabilities,observations",
        )  # fmt: skip


for _combine in ("median", "max", "latest"):
    _add_combination(_combine)


@_case("mosaic-pixels-resampled")
def _mosaic_pixels_resampled(studio: Studio, facts: Facts) -> dict[str, Any]:
    facts.resampled = True
    return _mosaic(
        studio, facts, "mosaic-pixels-resampled", studio.pixel_maps("probabilities"),
        "--crs", "EPSG:3035", "--outputs", "classes,confidence,observations,stac",
    )  # fmt: skip


@_case("mosaic-pixels-months")
def _mosaic_pixels_months(studio: Studio, facts: Facts) -> dict[str, Any]:
    maps = studio.pixel_maps("top3")
    return _months(studio, facts, "mosaic-pixels-months", maps, "classes,confidence,stac")


# (f): zones and comparisons


def _zones(studio: Studio, facts: Facts, name: str, made: Path) -> dict[str, Any]:
    folder, zones = studio.folder(name), studio.zones()
    told = {}
    for given, layer, out in (
        ("zones.gpkg", ("--layer", "districts"), "zones.gpkg"),
        ("zones.gpkg", (), "zones.csv"),
        ("degrees.geojson", (), "degrees.parquet"),
    ):
        call = ("summarize", made, "--zones", zones / given, *layer, "--out", folder / out)
        told[out] = facts.plain(json.loads(command(*call, "--json", "-q")))
    return {**facts.of_folder(folder), "told": told}


@_case("zones-cells")
def _zones_cells(studio: Studio, facts: Facts) -> dict[str, Any]:
    return _zones(studio, facts, "zones-cells", studio.cell_map(5))


@_case("zones-pixels")
def _zones_pixels(studio: Studio, facts: Facts) -> dict[str, Any]:
    return _zones(studio, facts, "zones-pixels", studio.pixel_map(5))


def _change(studio: Studio, facts: Facts, name: str, before: Path, after: Path) -> dict[str, Any]:
    folder = studio.folder(name)
    out = folder / "map.tif"
    told = json.loads(command("compare", before, after, "--out", out, "--json"))
    text = command("compare", before, after, "--out", out, "--overwrite")
    return {**_with_info(facts, folder), "told": facts.plain(told), "text": facts.text(text)}


@_case("change-cells")
def _change_cells(studio: Studio, facts: Facts) -> dict[str, Any]:
    return _change(studio, facts, "change-cells", studio.cell_map(5), studio.cell_map(6))


@_case("change-pixels")
def _change_pixels(studio: Studio, facts: Facts) -> dict[str, Any]:
    return _change(studio, facts, "change-pixels", studio.pixel_map(5), studio.pixel_map(6))


# (g): predictions of small networks


def _prediction(
    studio: Studio, facts: Facts, name: str, model: Path, *arguments: object
) -> dict[str, Any]:
    folder = studio.folder(name)
    command(
        "map", studio.scene(), "-m", model, "-o", folder / "map.tif", "--device", "cpu",
        "--threads", "1", "-q", *arguments,
    )  # fmt: skip
    return of_prediction(facts, folder / "map.tif")


def _add_predictions() -> None:
    few = ("--outputs", "probabilities,classes,uncertainty")
    strides = [(stride, overlap) for stride in (1200, 600, 300) for overlap in ("exact", "shared")]
    patches: dict[str, tuple[object, ...]] = {
        f"predicted-{stride}-{overlap}": ("--stride", stride, "--overlap", overlap, *few)
        for stride, overlap in strides
    }
    patches |= {
        f"predicted-located-{r}": ("--resolution", r, "--min-clear", 0, *few) for r in (320, 160)
    }
    patches["predicted-cells-aoi"] = ("--stride", 600, "--aoi", _aoi(), "--mask-scl", "none", *few)
    patches["predicted-cells-all"] = ("--report",)
    pixels: dict[str, tuple[object, ...]] = {
        f"predicted-pixels-{r}": (
            "--resolution", r, "--aoi", _aoi(), "--outputs",
            "classes,confidence,top3,probabilities",
        )
        for r in (10, 20, 60)
    }  # fmt: skip
    pixels["predicted-pixels-all"] = ("--resolution", 20, "--report")
    for model, cases in ((Studio.model, patches), (Studio.pixel_model, pixels)):
        for name, arguments in cases.items():

            def predict(
                studio: Studio, facts: Facts, name=name, arguments=arguments, model=model
            ) -> dict[str, Any]:
                return _prediction(studio, facts, name, model(studio), *arguments)

            _case(name)(predict)


def _aoi() -> str:
    """A box in degrees inside the scene."""
    left, top = 600_000 + SCENE_WIDTH * 0.3, 5_200_020 - SCENE_HEIGHT * 0.2
    area = shapely.box(left, top - SCENE_HEIGHT * 0.5, left + SCENE_WIDTH * 0.45, top)
    degrees = geopandas.GeoSeries([area], crs="EPSG:32632").to_crs(4326).total_bounds
    return ",".join(f"{number:.6f}" for number in degrees)


_add_predictions()
