"""Make a small Sentinel-2 L2A product: real JPEG 2000 files, real metadata, a synthetic landscape.

    python examples/make_scene.py FOLDER

writes one ``.SAFE`` of about 12 km into FOLDER, and beside it what is really there: the class of
every pixel of 10 m (``NAME_truth.tif``, codes of the 19 classes). The tests make their products
with it too: ``write_safe`` takes any arrays.
"""

from __future__ import annotations

import shutil
import sys
import zipfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from geolulc.bands import BANDS, RESOLUTIONS
from geolulc.nomenclature import BEN19

#: Side of a JP2 tile in real products, by resolution.
JP2_TILES = {10: 1024, 20: 640, 60: 192}
#: From this baseline on, products hold DN + 1000.
FIRST_WITH_OFFSET = "04.00"

Arrays = Mapping[str, NDArray[np.uint16]]


class Cover(NamedTuple):
    """A cover of the landscape: its BigEarthNet class, SCL code, clutter, reflectance × 10,000."""

    name: str
    scl: int
    clutter: float
    dn: tuple[int, ...]


# in the order of geolulc.bands.BANDS; rounded from what such covers look like in summer
# fmt: off
COVERS = (
    Cover("Inland waters", 6, 0.03, (190, 230, 260, 160, 150, 130, 130, 120, 110, 100, 60, 40)),
    Cover("Broad-leaved forest", 4, 0.10,
          (200, 240, 450, 280, 760, 2300, 2900, 3050, 3200, 3150, 1550, 700)),
    Cover("Coniferous forest", 4, 0.14,
          (150, 180, 320, 210, 480, 1300, 1600, 1700, 1800, 1780, 820, 390)),
    Cover("Arable land", 5, 0.05,
          (420, 560, 840, 880, 1350, 2300, 2750, 2900, 3050, 3000, 2400, 1600)),
    Cover("Pastures", 4, 0.07,
          (310, 390, 760, 520, 1250, 3000, 3600, 3750, 3950, 3900, 2250, 1200)),
    Cover("Urban fabric", 5, 0.30,
          (620, 760, 960, 1020, 1400, 2100, 2350, 2500, 2600, 2600, 2250, 1650)),
    Cover("Beaches, dunes, sands", 5, 0.06,
          (900, 1150, 1500, 1800, 2050, 2200, 2300, 2400, 2550, 2500, 3100, 2700)),
    Cover("Moors, heathland and sclerophyllous vegetation", 4, 0.10,
          (250, 330, 560, 560, 950, 1650, 1900, 2050, 2200, 2150, 1900, 1150)),
)
#: What grows on a parcel: factors on arable land, from bare soil to a green crop.
CROPS = np.array([
    (1.3, 1.3, 1.2, 1.5, 1.2, .70, .62, .60, .62, .62, 1.1, 1.35),
    (1.1, 1.2, 1.2, 1.5, 1.3, .90, .85, .83, .83, .85, 1.2, 1.30),
    (.70, .70, .85, .60, .85, 1.1, 1.15, 1.2, 1.2, 1.15, .85, .65),
    (.65, .65, .80, .45, .75, 1.2, 1.25, 1.3, 1.3, 1.2, .75, .55),
    (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
], np.float32)
# fmt: on


class Landscape(NamedTuple):
    """DN without offset by band (native resolution), SCL at 20 m, index into COVERS at 10 m."""

    bands: dict[str, NDArray[np.uint16]]
    scl: NDArray[np.uint8]
    cover: NDArray[np.uint8]


def make_landscape(size: int = 12_000, seed: int = 0, clutter: float = 1.0) -> Landscape:
    """A square of ``size`` metres (a multiple of 60) with water, forests, fields and a town.

    ``clutter`` multiplies what varies from pixel to pixel within a cover: at 1 the twelve bands of
    a pixel tell its cover almost always, at 5 its surroundings are needed.
    """
    rng = np.random.default_rng(seed)
    pixels = size // 10
    cover = _lay_out(pixels, rng)
    parcel = _parcels(pixels, rng)
    texture = _noise(pixels, 1.6, rng)
    strength = clutter * np.array([c.clutter for c in COVERS], np.float32)[cover]
    bands = {}
    for index, band in enumerate(BANDS):
        spectrum = np.array([c.dn[index] for c in COVERS], np.float32)
        fine = spectrum[cover]
        fine *= np.where(cover == 3, CROPS[parcel % len(CROPS), index], 1)
        grain = rng.standard_normal(cover.shape, dtype=np.float32)
        fine *= np.exp(strength * (0.5 * texture + 0.6 * grain))
        coarse = _coarsen(fine, band.resolution // 10)
        coarse += rng.normal(0, 8, coarse.shape)
        bands[band.name] = np.clip(np.rint(coarse), 1, 20_000).astype(np.uint16)
    scl = np.array([c.scl for c in COVERS], np.uint8)[cover[::2, ::2]]
    return Landscape(bands, scl, cover)


def add_offset(dn: NDArray[np.uint16], offset: int) -> NDArray[np.uint16]:
    """DN of a file whose metadata state ``offset``; 0, no data, stays 0."""
    shifted = dn.astype(np.int32) - offset
    return np.where(dn == 0, 0, np.clip(shifted, 1, 32767)).astype(np.uint16)


def write_safe(
    folder: Path,
    bands: Arrays,
    *,
    level: str = "L2A",
    baseline: str = "05.10",
    offset: int | Mapping[str, int] | None = None,
    epsg: int = 32632,
    ulx: int = 600_000,
    uly: int = 5_200_020,
    tile: str = "32TPS",
    platform: str = "S2B",
    sensing: str = "2024-06-25T10:10:31",
    scl: NDArray[np.uint8] | None = None,
    aerosol: NDArray[np.uint16] | None = None,
    clouds: NDArray[np.uint8] | None = None,
    layout: str = "compact",
    jp2_tiles: Mapping[int, int] = JP2_TILES,
    decoy: bool = True,
    zipped: str | None = None,
) -> Path:
    """Write a product and return its path.

    Args:
        folder: where ``NAME.SAFE`` goes.
        bands: the twelve bands at native resolution, DN exactly as the files shall hold them
            (``add_offset`` makes them); at most 32767, as the files have 15 bits.
        level: "L2A", or "L1C", which has a band B10 (zeros here) and no scene classification.
        offset: ``BOA_ADD_OFFSET`` or ``RADIO_ADD_OFFSET``, by band or for all; None: -1000 from
            baseline 04.00 on. Without an offset the XML has no such list.
        scl: scene classification at 20 m.
        aerosol: optical depth × 1000 at 60 m.
        clouds: Level-1C's mask at 60 m, (3, rows, columns) of 0 and 1: opaque clouds, cirrus, snow.
        layout: "compact", or "l2a_prefix" as baselines 02.05 and 02.06 named their images.
        jp2_tiles: side of the JP2 tiles by resolution.
        decoy: also write B01 at 20 m (zeros), as baselines from 04.00 on do.
        zipped: "stored" or "deflated": pack the product and remove the folder.
    """
    if offset is None:
        offset = -1000 if baseline >= FIRST_WITH_OFFSET else 0
    offsets = dict(offset) if isinstance(offset, Mapping) else {b.name: offset for b in BANDS}
    start = datetime.fromisoformat(sensing)
    stamp = f"{start:%Y%m%dT%H%M%S}"
    number = baseline.replace(".", "")
    name = f"{platform}_MSI{level}_{stamp}_N{number}_R022_T{tile}_{stamp[:9]}151031"
    root = folder / f"{name}.SAFE"
    granule = f"GRANULE/{level}_T{tile}_A038765_{stamp[:9]}101034"
    stem = ("L2A_" if layout == "l2a_prefix" else "") + f"T{tile}_{stamp}"
    images: dict[tuple[str, int], NDArray[np.uint16] | NDArray[np.uint8]] = {
        (b.name, b.resolution): bands[b.name] for b in BANDS
    }
    size = bands["B01"].shape[1] * 60, bands["B01"].shape[0] * 60
    if level == "L1C":
        images["B10", 60] = np.zeros_like(bands["B01"])
    elif decoy and baseline >= FIRST_WITH_OFFSET:
        images["B01", 20] = np.zeros_like(bands["B05"])
    if scl is not None:
        images["SCL", 20] = scl
    if aerosol is not None:
        images["AOT", 60] = aerosol
    if clouds is not None:
        mask = root / granule / "QI_DATA/MSK_CLASSI_B00.jp2"
        write_jp2(mask, clouds, 60, epsg, ulx, uly, jp2_tiles[60])
    listed = []
    for (image, resolution), array in images.items():
        if array.shape != (size[1] // resolution, size[0] // resolution):
            raise ValueError(f"{image} has shape {array.shape} at {resolution} m")
        path = f"{granule}/IMG_DATA/R{resolution}m/{stem}_{image}_{resolution}m"
        if level == "L1C":
            path = f"{granule}/IMG_DATA/{stem}_{image}"
        listed.append(path)
        write_jp2(root / f"{path}.jp2", array, resolution, epsg, ulx, uly, jp2_tiles[resolution])
    xml = _product_xml(name, baseline, platform, f"{sensing}.024Z", tile, listed, offsets)
    if level == "L1C":
        for of_2a, of_1c in (("BOA_ADD", "RADIO_ADD"), ("BOA_QUANT", "QUANT"), ("2A", "1C")):
            xml = xml.replace(of_2a, of_1c)
    (root / f"MTD_MSI{level}.xml").write_text(xml, "utf-8")
    (root / granule / "MTD_TL.xml").write_text(
        _tile_xml(tile, baseline, f"{sensing}.024Z", epsg, ulx, uly, size), "utf-8"
    )
    return root if zipped is None else _pack(root, zipped)


def write_jp2(
    path: Path,
    array: NDArray[np.uint16] | NDArray[np.uint8],
    resolution: int,
    epsg: int,
    ulx: float,
    uly: float,
    jp2_tile: int,
) -> None:
    """One band as Sentinel-2 encodes it: tiled, lossless, 15 bits, georeferenced in a GML box.

    Of a mask all layers, (layers, rows, columns).
    """
    layers = array[None] if array.ndim == 2 else array
    rows, columns = array.shape[-2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"NBITS": 15} if array.dtype == np.uint16 else {}
    # GDAL refuses to be told of tiles under 32 pixels: smaller images are one tile anyway
    options |= {"BLOCKXSIZE": jp2_tile} if jp2_tile < columns else {}
    options |= {"BLOCKYSIZE": jp2_tile} if jp2_tile < rows else {}
    if array.dtype == np.uint16 and array.max(initial=0) > 32767:
        raise ValueError(f"{path.name}: DN {array.max()} needs more than 15 bits")
    with rasterio.open(
        path,
        "w",
        driver="JP2OpenJPEG",
        height=rows,
        width=columns,
        count=len(layers),
        dtype=array.dtype,
        crs=f"EPSG:{epsg}",
        transform=from_origin(ulx, uly, resolution, resolution),
        tiled=True,  # without it BLOCKXSIZE is dropped
        QUALITY=100,
        REVERSIBLE="YES",
        RESOLUTIONS=5,
        PLT="YES",
        GMLJP2="YES",
        GEOJP2="NO",
        **options,
    ) as image:
        image.write(layers)


def write_truth(product: Path, cover: NDArray[np.uint8], **place: int) -> Path:
    """Write the class of every pixel of 10 m beside ``product``; returns the path.

    A GeoTIFF of uint8 codes of the 19 classes (1…), in their colours.

    Args:
        product: the ``.SAFE``.
        cover: index into COVERS at 10 m.
        place: epsg, ulx and uly, as for ``write_safe``.
    """
    place = {"epsg": 32632, "ulx": 600_000, "uly": 5_200_020} | place
    path = product.with_name(f"{product.stem}_truth.tif")
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=cover.shape[0],
        width=cover.shape[1],
        count=1,
        dtype="uint8",
        nodata=0,
        crs=f"EPSG:{place['epsg']}",
        transform=from_origin(place["ulx"], place["uly"], 10, 10),
        compress="deflate",
    ) as raster:
        raster.write(np.array([BEN19[c.name].code for c in COVERS], np.uint8)[cover], 1)
        raster.write_colormap(1, {c.code: (*c.rgb, 255) for c in BEN19.classes})
        raster.update_tags(1, **{str(c.code): c.name for c in BEN19.classes})
    return path


def make_demo_scene(folder: Path, size: int = 12_000) -> Path:
    """The scene of ``make demo``, and its truth; returns the path of the ``.SAFE``."""
    landscape = make_landscape(size, seed=3)
    bands = {name: add_offset(dn, -1000) for name, dn in landscape.bands.items()}
    product = write_safe(folder, bands, scl=landscape.scl)
    write_truth(product, landscape.cover)
    return product


def _noise(pixels: int, slope: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A field with a power spectrum of k^(-2 slope), mean 0, standard deviation 1."""
    side = pixels + 64  # cut off again, or the field would be periodic
    k = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    k[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side, side))) / k**slope, (side, side))
    field = field[:pixels, :pixels]
    return ((field - field.mean()) / field.std()).astype(np.float32)


def _lay_out(pixels: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Index into COVERS of each 10 m pixel."""
    wood, kind, height, town, fine = (_noise(pixels, s, rng) for s in (1.9, 1.8, 2.0, 1.7, 1.2))
    wood, kind, town = wood + 0.2 * fine, kind + 0.2 * fine, town + 0.15 * fine
    cover = np.full((pixels, pixels), 3, np.uint8)

    def above(field: NDArray[np.float32], share: float) -> NDArray[np.bool_]:
        return field > np.quantile(field, 1 - share)

    cover[above(kind, 0.35)] = 4
    cover[above(wood, 0.42)] = 1
    cover[above(wood, 0.42) & above(kind, 0.45)] = 2
    cover[above(-wood, 0.08)] = 7
    cover[above(town, 0.07)] = 5
    cover[above(-height, 0.105)] = 6
    cover[above(-height, 0.09)] = 0
    cover[np.abs(height - 0.2) < 0.012] = 0  # a river follows a contour
    return cover


def _parcels(pixels: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A number for the parcel of each pixel: staggered rectangles of 160 m × 320 m."""
    angle = rng.uniform(0.2, 0.6)
    y, x = np.mgrid[:pixels, :pixels].astype(np.float32)
    column = np.floor((x * np.cos(angle) + y * np.sin(angle)) / 16).astype(np.int64)
    row = np.floor((y * np.cos(angle) - x * np.sin(angle) + 11 * column) / 32).astype(np.int64)
    mixed = (column * 73_856_093) ^ (row * 19_349_663)
    return (mixed ^ (mixed >> 9)) & 0xFFFF


def _coarsen(fine: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    rows, columns = (n // factor for n in fine.shape)
    return fine.reshape(rows, factor, columns, factor).mean(axis=(1, 3))


def _product_xml(
    name: str,
    baseline: str,
    platform: str,
    time: str,
    tile: str,
    images: list[str],
    offsets: Mapping[str, int],
) -> str:
    psd = "psd-15" if baseline >= "05.11" else "psd-14"
    # real lists hold thirteen entries: band_id 10 is B10, which L2A does not have
    by_id = {10: -1000} | {b.band_id: offsets[b.name] for b in BANDS}
    entries = "\n".join(
        f'        <BOA_ADD_OFFSET band_id="{i}">{by_id[i]}</BOA_ADD_OFFSET>' for i in sorted(by_id)
    )
    offset_list = (
        f"      <BOA_ADD_OFFSET_VALUES_LIST>\n{entries}\n      </BOA_ADD_OFFSET_VALUES_LIST>\n"
        if any(offsets.values())
        else ""
    )
    files = "\n".join(f"            <IMAGE_FILE>{image}</IMAGE_FILE>" for image in images)
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-2A_User_Product xmlns:n1="https://{psd}.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd">
  <n1:General_Info>
    <Product_Info>
      <PRODUCT_START_TIME>{time}</PRODUCT_START_TIME>
      <PRODUCT_URI>{name}.SAFE</PRODUCT_URI>
      <PROCESSING_LEVEL>Level-2A</PROCESSING_LEVEL>
      <PRODUCT_TYPE>S2MSI2A</PRODUCT_TYPE>
      <PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
      <Datatake datatakeIdentifier="G{platform}_{time[:4]}_038765_N{baseline}">
        <SPACECRAFT_NAME>Sentinel-{platform[1:]}</SPACECRAFT_NAME>
        <DATATAKE_SENSING_START>{time}</DATATAKE_SENSING_START>
      </Datatake>
      <Product_Organisation>
        <Granule_List>
          <Granule granuleIdentifier="{platform}_OPER_MSI_L2A_TL_T{tile}_N{baseline}">
{files}
          </Granule>
        </Granule_List>
      </Product_Organisation>
    </Product_Info>
    <Product_Image_Characteristics>
      <QUANTIFICATION_VALUES_LIST>
        <BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>
      </QUANTIFICATION_VALUES_LIST>
{offset_list}    </Product_Image_Characteristics>
  </n1:General_Info>
</n1:Level-2A_User_Product>
"""


def _tile_xml(
    tile: str, baseline: str, time: str, epsg: int, ulx: int, uly: int, size: tuple[int, int]
) -> str:
    zone = f"{epsg % 100:02}{'N' if epsg < 32700 else 'S'}"
    sizes = "\n".join(
        f'      <Size resolution="{r}"><NROWS>{size[1] // r}</NROWS><NCOLS>{size[0] // r}</NCOLS>'
        "</Size>"
        for r in RESOLUTIONS
    )
    places = "\n".join(
        f'      <Geoposition resolution="{r}"><ULX>{ulx}</ULX><ULY>{uly}</ULY>'
        f"<XDIM>{r}</XDIM><YDIM>-{r}</YDIM></Geoposition>"
        for r in RESOLUTIONS
    )
    views = "\n".join(
        f'        <Mean_Viewing_Incidence_Angle bandId="{b.band_id}">'
        f'<ZENITH_ANGLE unit="deg">{6 + b.band_id / 10:.1f}</ZENITH_ANGLE>'
        '<AZIMUTH_ANGLE unit="deg">105.2</AZIMUTH_ANGLE></Mean_Viewing_Incidence_Angle>'
        for b in BANDS
    )
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-2A_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-2A_Tile_Metadata.xsd">
  <n1:General_Info>
    <TILE_ID metadataLevel="Brief">S2B_OPER_MSI_L2A_TL_VGS4_A038765_T{tile}_N{baseline}</TILE_ID>
    <SENSING_TIME metadataLevel="Standard">{time}</SENSING_TIME>
  </n1:General_Info>
  <n1:Geometric_Info>
    <Tile_Geocoding metadataLevel="Brief">
      <HORIZONTAL_CS_NAME>WGS84 / UTM zone {zone}</HORIZONTAL_CS_NAME>
      <HORIZONTAL_CS_CODE>EPSG:{epsg}</HORIZONTAL_CS_CODE>
{sizes}
{places}
    </Tile_Geocoding>
    <Tile_Angles>
      <Mean_Sun_Angle>
        <ZENITH_ANGLE unit="deg">35.2</ZENITH_ANGLE>
        <AZIMUTH_ANGLE unit="deg">155.1</AZIMUTH_ANGLE>
      </Mean_Sun_Angle>
      <Mean_Viewing_Incidence_Angle_List>
{views}
      </Mean_Viewing_Incidence_Angle_List>
    </Tile_Angles>
  </n1:Geometric_Info>
</n1:Level-2A_Tile_ID>
"""


def _pack(root: Path, method: str) -> Path:
    target = root.with_suffix(".zip")
    kind = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}[method]
    with zipfile.ZipFile(target, "w", kind) as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, file.relative_to(root.parent))
    shutil.rmtree(root)
    return target


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(make_demo_scene(Path(sys.argv[1])))
