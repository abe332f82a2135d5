"""Training on real labels of other people's ground: Flanders, Leipzig, Brandenburg. Minutes each.

    python benchmarks/own_labels.py OWN_LABELS FOLDER [--only flanders] [--set steps=100 …]

OWN_LABELS holds flanders/ (GeoTIFFs of seven dates and what farmers declared), leipzig/ (a raster
of seven bands and 97 points) and brandenburg-l1c/ (Level-1C bands and polygons of OpenStreetMap).
Each becomes scenes, a store and five runs of ``train --folds --baseline forest`` (of Brandenburg,
which takes long, one run without ``--all``); the figures of network and forest are printed with
their spread between folds. FOLDER keeps stores and runs.

Networks see the bands that the scenes have: ten in Flanders, seven in Leipzig.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
import rasterio.features
import shapely
from numpy.typing import NDArray

from geolulc.bands import BANDS
from geolulc.datasets import open_store
from geolulc.labelling import LabelOptions, label_scenes, read_features
from geolulc.learning import TrainConfig
from geolulc.learning.baseline import score_forest
from geolulc.learning.config import parse_setting, read_config
from geolulc.learning.cross_validation import cross_validate, spread
from geolulc.learning.patches import SplitPatches
from geolulc.nomenclature import nomenclature_of
from geolulc.products import array_scene, open_scene

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from make_scene import write_safe

RECIPE_FILE = Path(__file__).resolve().parents[1] / "examples" / "few_labels.toml"
#: Side of a patch in pixels of 10 m: no scene is smaller.
PATCH = 120
#: Codes of the declarations' land cover in Flanders.
FLANDERS = {11: ("Temporary crops", "#e6c34a"), 13: ("Grassland", "#7fb347"),
            60: ("Built-up", "#c4281b"), 99: ("No cropland", "#8a8a8a")}  # fmt: skip
#: Classes of OpenStreetMap in Brandenburg that mean the same here.
OSM = {"grass": "meadow"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=tuple(GROUND))
    parser.add_argument("--forest", action="store_true", help="only forests: seconds")
    parser.add_argument("--all", action="store_true", help="five runs of Brandenburg too")
    parser.add_argument("--set", action="append", default=[], help="a setting, key=value")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in [options.only] if options.only else GROUND:
        make, config = GROUND[name]
        store = options.folder / f"{name}.store"
        if not store.exists():
            make(options.data, options.folder, store)
        if options.forest:
            show_forests(name, store, TrainConfig.from_mapping(RECIPE | config))
            continue
        config = config | dict(map(parse_setting, options.set))
        settings = TrainConfig.from_mapping(RECIPE | config)
        run = options.folder / "-".join([name, *(part.replace("/", "_") for part in options.set)])
        tested = (0,) if name == "brandenburg" and not options.all else None
        found = cross_validate(
            store, run, settings, resume=run.exists(), baseline=True, tested=tested
        )
        show(name, store, found)


#: That of few labels, with smaller steps: there are some twenty patches to learn from.
RECIPE = read_config(RECIPE_FILE) | {"batch_size": 4, "workers": 0}


def show_forests(name: str, store: Path, config: TrainConfig) -> None:
    """Print the figures of a forest for each fold, which learned from all others."""
    opened = open_store(store)
    bands = opened.layout.sensor.select(config.names(opened.layout.sensor))
    folds = np.array(opened.column("fold"))
    found = []
    for fold in range(folds.max() + 1):
        parts = (np.flatnonzero(folds != fold), np.flatnonzero(folds == fold))
        own, other = (SplitPatches(opened, "train", part, masks=True) for part in parts)
        found.append(score_forest(own, other, bands))
    print(name)
    for figure, v in spread([one.figures for one in found]).items():
        print(f"  forest {figure:10} {v['mean']:.3f} ± {v['sd']:.3f}"
              f"  ({v['min']:.3f} … {v['max']:.3f})")  # fmt: skip
    for c in opened.nomenclature.names:
        print(f"    IoU {c:18} {_mean([one.iou[c] for one in found])}")


def show(name: str, store: Path, found: Mapping[str, Any]) -> None:
    """Print figures and their spread."""
    labelling = json.loads((store / "manifest.json").read_text())["labelling"]
    print(f"{name}: {labelling['places']} places, {labelling['split_by']}")
    print(f"  pixels by fold {labelling['pixels_by_fold']}")
    print(f"  places by class {labelling['places_by_class']}")
    for what, title in (("figures", "network"), ("baseline", "forest")):
        for figure in ("miou", "f1_macro", "agreement"):
            v = found[what][figure]
            around = "" if v["sd"] is None else f" ± {v['sd']:.3f}"
            around += f"  ({v['min']:.3f} … {v['max']:.3f})" if around else ""
            print(f"  {title:8} {figure:10} {v['mean']:.3f}{around}")
    for at, row in enumerate(found["folds"][0]["classes"]):
        ious = [f["classes"][at]["iou"] for f in found["folds"]]
        forest = [f["baseline"]["iou"][row["name"]] for f in found["folds"]]
        print(f"    IoU {row['name']:18} network {_mean(ious)}  forest {_mean(forest)}")


def _mean(values: list[float | None]) -> str:
    known = [v for v in values if v is not None and np.isfinite(v)]
    return f"{np.mean(known):.3f} in {len(known)} folds" if known else "–"


def make_flanders(data: Path, folder: Path, store: Path) -> None:
    """Seven dates of 640 m; a field is a region of one declaration, and belongs to one fold."""
    places = data / "flanders"
    with rasterio.open(next(places.glob("*_labels.tif"))) as dataset:
        cover, crop = dataset.read()
        crs, transform = dataset.crs.to_string(), dataset.transform
    declared = cover.astype(np.int32) * 10_000 + crop
    regions = list(rasterio.features.shapes(declared, transform=transform))
    shapes = [shapely.geometry.shape(shape) for shape, _ in regions]
    values = [int(value) // 10_000 for _, value in regions]
    fields = folder / "flanders.gpkg"
    geopandas.GeoDataFrame(
        {"cover": values, "field": range(len(values))}, geometry=shapes, crs=crs
    ).to_file(fields)
    classes = nomenclature_of({"id": "flanders", "title": "Declared land cover", "classes": [
        {"name": n, "code": code, "color": color} for code, (n, color) in FLANDERS.items()
    ]})  # fmt: skip
    scenes = []
    for fine_path in sorted(places.glob("*_10m.tif")):
        bands: dict[str, NDArray[Any]] = {}
        for path in (fine_path, fine_path.with_name(fine_path.name.replace("10m", "20m"))):
            with rasterio.open(path) as dataset:
                bands |= dict(zip(dataset.descriptions, dataset.read(), strict=True))
        day = fine_path.stem.split("_")[1]
        padded = {name: _padded(array) for name, array in bands.items()}
        padded["SCL"] = padded["SCL"].astype(np.uint8)
        scenes.append(array_scene(
            padded, offset=0, crs=crs, transform=transform, name=f"flanders_{day}",
            facts={"sensing_time": f"{day[:4]}-{day[4:6]}-{day[6:]}T10:50:00", "tile": "31UDS"},
        ))  # fmt: skip
    options = LabelOptions(split_by="field")
    labels = read_features(fields, "cover", options, nomenclature=classes)
    label_scenes(scenes, labels, store, options)


def make_leipzig(data: Path, folder: Path, store: Path) -> None:
    """One scene of seven bands; each point labels the pixels within 15 m, in blocks of 200 m."""
    with rasterio.open(data / "leipzig" / "leipzig_raster.tif") as dataset:
        bands = dict(zip(dataset.descriptions, dataset.read(), strict=True))
        crs, transform = dataset.crs.to_string(), dataset.transform
    fine = {n: np.clip(np.rint(b[:204, :150]), 1, 30_000).astype(np.uint16)
            for n, b in bands.items() if n != "ndvi"}  # fmt: skip
    arrays = {
        b.name: _coarser(fine[b.name.lower()], b.resolution // 10)
        for b in BANDS
        if b.name.lower() in fine
    }
    scene = array_scene(arrays, offset=0, crs=crs, transform=transform, name="leipzig",
                        facts={"sensing_time": "2020-06-01T10:00:00"})  # fmt: skip
    options = LabelOptions(block_size=200, buffer=15)
    points = data / "leipzig" / "leipzig_points.gpkg"
    labels = read_features(points, "land_cover", options, points=True)
    label_scenes([scene], labels, store, options)


def make_brandenburg(data: Path, folder: Path, store: Path) -> None:
    """Level-1C wrapped as a product; polygons shrunk by 10 m, in blocks of 1.2 km."""
    place = data / "brandenburg-l1c"
    bands = {}
    for band in BANDS:
        with rasterio.open(next((place / "IMG_DATA").glob(f"*_{band.name}.jp2"))) as dataset:
            bands[band.name] = dataset.read(1)
            if band.name == "B02":
                corner = round(dataset.transform.c), round(dataset.transform.f)
    safe = write_safe(folder, bands, level="L1C", baseline="02.04", epsg=32633,
                      ulx=corner[0], uly=corner[1], tile="33UUU", platform="S2B",
                      sensing="2017-02-16T10:21:01") if not list(folder.glob("S2B*L1C*")) else \
        next(folder.glob("S2B*L1C*"))  # fmt: skip
    polygons = folder / "brandenburg.gpkg"
    frame = geopandas.read_file(next(place.glob("gis_osm*.gpkg")))
    frame["cover"] = frame.fclass.replace(OSM)
    frame[["osm_id", "cover", "geometry"]].to_file(polygons)
    options = LabelOptions(block_size=1200, buffer=-10)
    labels = read_features(polygons, "cover", options)
    label_scenes([open_scene(safe)], labels, store, options)


def _padded(array: NDArray[Any]) -> NDArray[Any]:
    """With zeros, which are no data, to the side of a patch."""
    side = PATCH if len(array) == 64 else PATCH // 2
    return np.pad(array, ((0, side - array.shape[0]), (0, side - array.shape[1])))


def _coarser(array: NDArray[Any], factor: int) -> NDArray[np.uint16]:
    """Means of squares."""
    rows, columns = (n // factor for n in array.shape)
    squares = array[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
    return np.rint(squares.mean(axis=(1, 3))).astype(np.uint16)


#: Name → what makes its store, and its settings.
GROUND: dict[str, tuple[Any, dict[str, Any]]] = {
    "flanders": (
        make_flanders,
        {"steps": 60, "bands": "B02,B03,B04,B08,B05,B06,B07,B8A,B11,B12"},
    ),
    "leipzig": (
        make_leipzig,
        {"steps": 100, "bands": "B02,B03,B04,B08,B06,B07,B11"},
    ),
    "brandenburg": (make_brandenburg, {"steps": 100, "batch_size": 8}),
}

if __name__ == "__main__":
    warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
    main()
