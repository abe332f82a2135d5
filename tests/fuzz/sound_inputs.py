"""What the suite's factories make of each kind of input, as the commands of its row take it."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import geopandas
import numpy as np
import pandas
import pyarrow as pa
import rasterio
import shapely
import timm
import torch
from made_archives import make_store, make_v1, make_v2
from made_items import write_item
from made_map import TILE
from made_nets import make_net
from made_product import make_product, random_bands
from made_reference import write_class_file
from made_reference import write_classes as write_raster
from made_reference import write_points as write_table
from made_regions import CLASSES, SIGNALS, MadeRegion, make_region_store
from made_zarr import write_zarr
from written_map import write_made

from geolulc.bands import BAND_NAMES
from geolulc.grid import PATCH_SIZE
from geolulc.nets import Model, save_checkpoint


def write_model(folder: Path) -> None:
    save_checkpoint(folder / "model.safetensors", Model(make_net().eval(), name="fuzz"))


def write_scene(folder: Path, *, manifest: bool = False, zipped: str | None = None) -> None:
    """``scene.SAFE`` or ``scene.zip`` of one patch, and a model."""
    write_model(folder)
    scl = np.full((60, 60), 4, np.uint8)
    made = make_product(folder / "made", random_bands(1200, 1200), scl=scl, zipped=zipped)
    target = folder / f"scene{made.suffix}"
    made.rename(target)
    if manifest:
        _write_manifest(target)


def _write_manifest(product: Path) -> None:
    listed = "\n".join(
        f'<byteStream><fileLocation href="./{path.relative_to(product)}"/>'
        f'<checksum checksumName="MD5">{hashlib.md5(path.read_bytes()).hexdigest()}</checksum>'  # noqa: S324
        "</byteStream>"
        for path in sorted(product.rglob("*.jp2"))
    )
    (product / "manifest.safe").write_text(f'<xfdu xmlns:x="y">\n{listed}\n</xfdu>')


def write_stac(folder: Path) -> None:
    write_scene(folder)
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "scene",
        "geometry": None,
        "properties": {"datetime": "2024-06-25T10:10:31Z"},
        "links": [{"rel": "self", "href": "scene.json"}],
        "assets": {
            "thumbnail": {"href": "https://example.com/t.png"},
            "safe-manifest": {"href": "scene.SAFE/manifest.safe", "type": "application/xml"},
        },
    }
    (folder / "list.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    (folder / "list.txt").write_text("# scenes\nscene.SAFE\n")


def write_eopf(folder: Path, *, version: int = 2, zipped: bool = False) -> None:
    """``scene.zarr`` or ``scene.zarr.zip``, the twin of a scene."""
    write_scene(folder)
    path = folder / f"scene.zarr{'.zip' * zipped}"
    write_zarr(folder / "scene.SAFE", path, version=version, consolidated=version == 2)


def write_cogs(folder: Path) -> None:
    """``cogs/item.json`` with a COG of each band of a scene."""
    write_scene(folder)
    write_item(folder / "scene.SAFE", folder / "cogs")


def write_tars(folder: Path) -> None:
    archive = make_v1(folder, 2, splits=("train", "val"))
    for name, mode in (("v1.tar", "w"), ("v1.tar.gz", "w:gz")):
        with tarfile.open(folder / name, mode, format=tarfile.PAX_FORMAT) as tar:
            for patch in sorted(archive.iterdir()):
                tar.add(patch, f"BigEarthNet-v1.0/{patch.name}")
    with pa.output_stream(str(folder / "v1.tar.zst"), compression="zstd") as stream:
        stream.write((folder / "v1.tar").read_bytes())
    shutil.rmtree(archive)


def write_v1(folder: Path) -> None:
    make_v1(folder, 2, splits=("train", "val")).rename(folder / "v1")


def write_v2(folder: Path) -> None:
    make_v2(folder / "v2", 3, reference_maps=True)


def write_stack(folder: Path) -> None:
    """Twelve bands of 1.8 km as one GeoTIFF, with a time."""
    pixels = np.random.default_rng(0).integers(1, 4000, (len(BAND_NAMES), 180, 180))
    profile = {"driver": "GTiff", "dtype": "uint16", "count": len(pixels), "width": 180,
               "height": 180, "crs": TILE.crs, "transform": TILE.transform(10)}  # fmt: skip
    with rasterio.open(folder / "stack.tif", "w", **profile) as out:
        out.write(pixels.astype(np.uint16))
        out.descriptions = BAND_NAMES
        out.update_tags(TIFFTAG_DATETIME="2020:07:01 10:30:00")


def write_store(folder: Path) -> None:
    write_model(folder)
    make_store(folder / "made.store", 8)


def write_settings(folder: Path) -> None:
    make_store(folder / "made.store", 8)
    (folder / "train.toml").write_text(
        'backbone = "test_resnet"\nfusion = "late"\nepochs = 1\nbatch_size = 4\n'
        "learning_rate = 0.001\ndrop_rate = 0.1\nmixup = 0.2\nworkers = 0\nseed = 3\n"
    )


def write_encoder(folder: Path) -> None:
    """Weights of timm as torch writes them, a zip with a pickle, and a store to train on."""
    write_settings(folder)
    torch.save(timm.create_model("test_resnet").state_dict(), folder / "encoder.pth")


def write_map(folder: Path) -> None:
    write_made("cells", folder / "map.tif")
    write_made("cells", folder / "other.tif", seed=1)


def write_zones(folder: Path) -> None:
    """The same two zones in every format, in the middle of a map."""
    write_map(folder)
    west, north = TILE.left, TILE.top
    squares = [shapely.box(west + x, north - 3600, west + x + 2400, north - 600) for x in (0, 2400)]
    zones = geopandas.GeoDataFrame({"name": ["a", "b"]}, geometry=squares, crs=TILE.crs)
    for ending, driver in ((".gpkg", "GPKG"), (".fgb", "FlatGeobuf"), (".shp", None)):
        zones.to_file(folder / f"zones{ending}", driver=driver)
    zones.to_parquet(folder / "zones.parquet")
    zones.to_file(folder / "zones.gdb", driver="OpenFileGDB")
    geographic = zones.to_crs("EPSG:4326")
    geographic.to_file(folder / "zones.geojson", driver="GeoJSON")
    places = "".join(
        f"<Placemark><name>{name}</name><Polygon><outerBoundaryIs><LinearRing><coordinates>"
        f"{' '.join(f'{x},{y},0' for x, y in square.exterior.coords)}"
        "</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark>\n"
        for name, square in zip("ab", geographic.geometry, strict=True)
    )
    (folder / "zones.kml").write_text(
        f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>\n{places}</Document></kml>'
    )


def write_areas(folder: Path) -> None:
    """A scene, and the western half of it as an area."""
    write_scene(folder)
    area = geopandas.GeoDataFrame(
        {"name": ["west"]},
        geometry=[shapely.box(600000, 5198820, 600600, 5200020)],
        crs="EPSG:32632",
    )
    area.to_file(folder / "aoi.gpkg", driver="GPKG")
    area.to_crs("EPSG:4326").to_file(folder / "aoi.geojson", driver="GeoJSON")


def write_labels(folder: Path) -> None:
    """A scene of nine patches, sixteen fields of two crops on it, and a raster of these."""
    scl = np.full((180, 180), 4, np.uint8)
    make_product(folder / "made", random_bands(3600, 3600), scl=scl).rename(folder / "scene.SAFE")
    left, top = 600_000, 5_200_020
    fields = [(900 * (i % 4), 900 * (i // 4)) for i in range(16)]
    boxes = [shapely.box(left + x, top - y - 200, left + x + 200, top - y) for x, y in fields]
    crops = ["Wheat" if i % 2 else "Maize" for i in range(16)]
    frame = geopandas.GeoDataFrame({"crop": crops}, geometry=boxes, crs="EPSG:32632")
    frame.to_file(folder / "fields.gpkg", driver="GPKG")
    codes = np.kron(np.arange(16).reshape(4, 4) % 2 + 1, np.ones((90, 90)))
    place = rasterio.Affine(10, 0, left, 0, -10, top)
    write_raster(folder / "fields.tif", codes.astype(np.uint8), crs="EPSG:32632", transform=place)


def write_regions(folder: Path) -> None:
    """A store of three countries, their polygons, and settings that train in a second."""
    names = ("Austria", "Finland", "Kosovo")
    made = [MadeRegion(name, dict.fromkeys(CLASSES, 0.5), SIGNALS) for name in names]
    make_region_store(folder / "made.store", made, 16)
    (folder / "train.toml").write_text(
        'backbone = "test_resnet"\nimage_size = 32\nepochs = 1\nbatch_size = 8\nworkers = 0\n'
    )
    # the patches lie one below the other
    tops = [5_400_000 - i * 16 * PATCH_SIZE for i in range(3)]
    boxes = [shapely.box(299_000, top - 16 * PATCH_SIZE, 302_000, top) for top in tops]
    regions = geopandas.GeoDataFrame({"name": names}, geometry=boxes, crs="EPSG:32633")
    regions.to_crs("EPSG:4326").to_file(folder / "regions.geojson", driver="GeoJSON")


def write_points(folder: Path) -> None:
    """A stranger's raster of two classes, and points in each."""
    codes = np.repeat([[1], [2]], 200).reshape(20, 20).astype(np.uint8)
    raster = write_raster(folder / "classes.tif", codes)
    points = [(200 * k + 7 * i, k + 1) for k in range(2) for i in range(10)]
    table = pandas.read_csv(write_table(folder / "points.csv", raster, points))
    places = geopandas.points_from_xy(table.pop("x"), table.pop("y"))
    frame = geopandas.GeoDataFrame(table, geometry=places, crs="EPSG:3035")
    frame.to_file(folder / "points.gpkg", layer="points", driver="GPKG")


def write_classes(folder: Path) -> None:
    """A nomenclature as TOML and as a style of QGIS."""
    write_class_file(folder / "mine.toml")
    entries = "".join(
        f'<paletteEntry value="{code}" color="#0000{code:02x}" label="Class {code}"/>\n'
        for code in (1, 2, 5)
    )
    (folder / "mine.qml").write_text(
        f"<qgis><pipe><rasterrenderer><colorPalette>\n{entries}</colorPalette></rasterrenderer>"
        "</pipe></qgis>"
    )
