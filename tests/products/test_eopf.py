"""EOPF Zarr: the map of its SAFE, or one line that says why not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from made_product import make_product, random_bands
from made_zarr import CHUNK, write_zarr

from geolulc.bands import BAND_NAMES
from geolulc.cli import cli
from geolulc.errors import ProductError
from geolulc.products import describe_scene, open_scene, true_colour
from geolulc.products.doors import scene_within
from geolulc.products.zarr_arrays import Folder, Store, _unpack

SCL = np.repeat(np.arange(12, dtype=np.uint8), 1200).reshape(120, 120)


@pytest.fixture(scope="module")
def safe(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("safe")
    return make_product(folder, random_bands(), scl=SCL, baseline="05.10")


@pytest.fixture(scope="module")
def twins(safe, tmp_path_factory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("twins")
    return {
        version: write_zarr(safe, folder / f"{version}.zarr", version=version, consolidated=False)
        for version in (2, 3)
    }


@pytest.fixture
def path(twins, tmp_path) -> Path:
    """A twin of version 2, without consolidated metadata."""
    return shutil.copytree(twins[2], tmp_path / "x.zarr")


def pixels(path: Path, name: str) -> np.ndarray:
    with open_scene(path).opened([name]) as images:
        image = images[name]
        found = np.full(image.tiling.shape, 99, image.dtype)
        for row in range(image.tiling.counts[0]):
            for column in range(image.tiling.counts[1]):
                image.read(row, column, found[image.tiling.rows(row), image.tiling.columns(column)])
    return found


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("compressor", "consolidated"), [("blosc", True), ("zstd", False), ("gzip", True), ("", False)]
)
def test_every_pixel_and_fact_of_the_safe(version, compressor, consolidated, safe, tmp_path):
    path = write_zarr(
        safe,
        tmp_path / "x.zarr",
        version=version,
        compressor=compressor,
        consolidated=consolidated,
    )
    there, twin = open_scene(safe), open_scene(path)
    for fact in ("name", "grid", "level", "offsets", "facts", "sun", "views"):
        assert getattr(twin, fact) == getattr(there, fact), fact
    assert list(twin.views) == list(BAND_NAMES)
    assert twin.offsets["B02"] == -1000
    assert set(there.images) - set(twin.images) <= {"TCI", "AOT"}
    for name in twin.images:
        assert np.array_equal(pixels(path, name), pixels(safe, name)), name


def test_angles_without_labels_are_not_known(safe, tmp_path):
    path = write_zarr(safe, tmp_path / "x.zarr", consolidated=False)
    geometry = path / "conditions/geometry"
    views = open_scene(path).views
    assert views["B12"].zenith == pytest.approx(7.2)
    assert views["B12"].azimuth == 105.2
    head = geometry / "angle/.zarray"
    for text, said in (("<U7", "<U6"), ("<U7", "|S7")):  # a chunk too short, no kind of ours
        kept = head.read_text()
        head.write_text(kept.replace(text, said))
        if said == "|S7":
            assert open_scene(path).views == {}
        else:
            with pytest.raises(ProductError, match="angle"):
                open_scene(path)
        head.write_text(kept)
    shutil.rmtree(geometry / "angle")
    assert open_scene(path).views == {}


@pytest.mark.parametrize("chunks", [CHUNK, {10: 240, 20: 120, 60: 40}, {10: 500, 20: 500, 60: 500}])
def test_chunks_as_they_come(chunks, safe, tmp_path):
    path = write_zarr(safe, tmp_path / "x.zarr", chunks=chunks)
    assert np.array_equal(pixels(path, "B08"), pixels(safe, "B08"))
    whole = open_scene(path).images["B04"].shrunk(slice(0, 240), slice(0, 240), (240, 240))
    assert np.array_equal(whole[0], pixels(safe, "B04"))
    small = open_scene(path).images["B04"].shrunk(slice(30, 90), slice(120, 240), (20, 30))
    assert np.array_equal(small[0], pixels(safe, "B04")[31:91:3, 122:240:4])
    picture, transform = true_colour(open_scene(path), 60)
    assert picture.shape == (60, 60, 3)
    assert transform.a == 40


@pytest.mark.parametrize("zipped", [False, True])
def test_the_map_is_byte_for_byte_that_of_the_safe(zipped, tmp_path):
    """Of the pixels, and of all tags but the one that says when."""
    safe = make_product(tmp_path / "s", random_bands(), scl=SCL, baseline="05.10")
    path = write_zarr(safe, tmp_path / f"{safe.stem}.zarr{'.zip' * zipped}")
    maps = []
    for scene, name in ((safe, "safe"), (path, "zarr")):
        out = tmp_path / name / "map.tif"
        out.parent.mkdir()
        run = CliRunner().invoke(
            cli, ["map", str(scene), "--out", str(out), "--outputs", "probabilities", "-q",
                  "--stride", "600", "--min-clear", "0"],
        )  # fmt: skip
        assert run.exit_code == 0, run.output
        maps.append(out)
    assert maps[0].read_bytes() == maps[1].read_bytes()


def test_a_missing_chunk_is_no_data(safe, twins, tmp_path):
    for version, chunk in ((2, "1.2"), (3, "c/1/2")):
        path = shutil.copytree(twins[version], tmp_path / f"{version}.zarr")
        (path / "measurements/reflectance/r10m/b02" / chunk).unlink()
        expected = pixels(safe, "B02")
        expected[70:140, 140:210] = 0
        assert np.array_equal(pixels(path, "B02"), expected)


def test_an_older_product_has_no_offset(tmp_path):
    safe = make_product(tmp_path / "s", random_bands(), baseline="02.14")
    path = write_zarr(safe, tmp_path / "x.zarr", of_bands={"add_offset": None})
    assert set(open_scene(path).offsets.values()) == {0}
    assert "SCL" not in open_scene(path).images


def test_level_1c_is_told_by_its_name(path):
    file = path / ".zattrs"
    file.write_text(file.read_text().replace("MSIL2A", "MSIL1C"))
    assert open_scene(path).level == "L1C"
    assert open_scene(path).facts["level"] == "L1C"


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"dtype": "float32"}, "float32, reflectance"),
        ({"attributes": {"horizontal_CRS_code": "EPSG:32633"}}, "the CRS other_metadata"),
        ({"root": {"proj:epsg": 4326}}, "the CRS"),
        ({"of_bands": {"proj:epsg": 32601}}, "the CRS"),
        (
            {
                "attributes": {"horizontal_CRS_code": None},
                "root": {"proj:epsg": None},
                "of_bands": {"proj:epsg": None},
            },
            "no CRS",
        ),
        ({"of_bands": {"add_offset": None}}, "add_offset None"),
        ({"of_bands": {"add_offset": 0}}, "add_offset 0"),
        ({"of_bands": {"add_offset": -0.10003}}, "add_offset -0.10003"),
        ({"of_bands": {"scale_factor": 0.001}}, "scale_factor 0.001"),
        ({"of_bands": {"scale_factor": float("inf")}}, "scale_factor inf"),
        ({"of_bands": {"proj:transform": [1, 2, 3]}}, "proj:transform"),
        ({"of_bands": {"proj:transform": [10.0, 0, 1e9, 0, -10.0, 0]}}, "pixels of|the corner"),
        ({"of_bands": {"proj:transform": [20.0, 0, 600000, 0, -20.0, 0]}}, "pixels of 20"),
        ({"root": {"start_datetime": "yesterday"}}, "start_datetime 'yesterday'"),
    ],
)
def test_what_disagrees_is_refused(options, found, safe, tmp_path):
    with pytest.raises(ProductError, match=found) as error:
        open_scene(write_zarr(safe, tmp_path / "x.zarr", **options))
    assert "\n" not in str(error.value)


def test_a_crs_in_one_place_is_enough(safe, tmp_path):
    """And a grid by the pixels' centres alone."""
    path = write_zarr(
        safe,
        tmp_path / "x.zarr",
        attributes={"horizontal_CRS_code": None},
        of_bands={"proj:epsg": None, "proj:transform": None},
    )
    assert open_scene(path).grid == open_scene(safe).grid


ARRAY = "measurements/reflectance/r10m/b02"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"chunks": [1, 1]}, "57,600 chunks"),
        ({"chunks": [10**6, 10**6]}, "chunks of 2,000,000,000,000 bytes"),
        ({"chunks": [10**400, 1]}, "shape"),
        ({"chunks": [0, 0]}, "shape"),
        ({"chunks": [True, 1.5]}, "shape"),
        ({"shape": [10**9, 10**9]}, "shape"),
        ({"shape": []}, "shape"),
        ({"shape": "240"}, "shape|numbers"),
        ({"dtype": "|O"}, "numbers of '|O'"),
        ({"dtype": [["a", "<u2"]]}, "numbers of"),
        ({"dtype": "<i8"}, "int64"),
        ({"compressor": {"id": "pickle"}}, "the codec pickle"),
        ({"compressor": {"id": "json2"}}, "the codec json2"),
        ({"compressor": 3}, "not subscriptable"),
        ({"filters": [{"id": "delta"}]}, "filters"),
        ({"order": "F"}, "order F"),
        ({"fill_value": 7}, "fill_value 7"),
        ({"dimension_separator": "/../../"}, "names of chunks"),
        ({"dtype": None}, "numbers of None"),
    ],
)
def test_hostile_arrays_of_version_2(change, found, path):
    file = path / ARRAY / ".zarray"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ProductError, match=found):
        open_scene(path)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"codecs": [{"name": "sharding_indexed", "configuration": {}}]}, "codecs sharding"),
        ({"codecs": [{"name": "bytes"}, {"name": "zstd"}, {"name": "crc32c"}]}, "codecs bytes"),
        ({"codecs": [{"name": "bytes"}, {"name": "numcodecs.pickle"}]}, "the codec numcodecs"),
        ({"codecs": []}, "not enough values"),
        ({"chunk_grid": {"name": "rectangular"}}, "chunks rectangular"),
        ({"chunk_key_encoding": {"name": "../x"}}, "named"),
        ({"node_type": "group"}, "no plain array"),
        ({"data_type": "float16"}, "numbers of 'float16'"),
        ({"storage_transformers": [1]}, "no plain array"),
    ],
)
def test_hostile_arrays_of_version_3(change, found, twins, tmp_path):
    path = shutil.copytree(twins[3], tmp_path / "x.zarr")
    file = path / ARRAY / "zarr.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ProductError, match=found):
        open_scene(path)


@pytest.mark.parametrize("compressor", ["blosc", "zstd", "gzip", ""])
def test_damaged_chunks(compressor, safe, tmp_path):
    """Cut short, longer than they say, a bomb, an empty file, a folder."""
    path = write_zarr(safe, tmp_path / "x.zarr", compressor=compressor)
    file = path / ARRAY / "0.0"
    data = file.read_bytes()
    promised = data[:4] + (1 << 31).to_bytes(4, "little") + data[8:]
    for bad in (data[:-3], data[: len(data) // 2], data + b"x" * 10**6, b"", promised[:20]):
        file.write_bytes(bad)
        with pytest.raises(ProductError, match="damaged"):
            pixels(path, "B02")
    file.unlink()
    file.mkdir()
    with pytest.raises(ProductError, match="damaged"):
        pixels(path, "B02")


def test_bombs_are_not_unpacked():
    import gzip

    import numcodecs

    zeros = bytes(10**8)
    for codec, bomb in (
        ("gzip", gzip.compress(zeros)),
        ("zstd", bytes(numcodecs.Zstd().encode(zeros))),
        ("blosc", bytes(numcodecs.Blosc().encode(zeros))),
    ):
        with pytest.raises(ValueError, match="not the 1,000 bytes"):
            _unpack(codec, bomb, 1000)
        small = {"gzip": gzip.compress, "zstd": numcodecs.Zstd().encode,
                 "blosc": numcodecs.Blosc().encode}[codec](bytes(1000))  # fmt: skip
        assert _unpack(codec, bytes(small), 1000) == bytes(1000)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a":' * 3000, "\xff"])
def test_metadata_that_is_none(text, path):
    (path / ".zmetadata").write_bytes(text.encode("latin-1"))
    with pytest.raises(ProductError, match="no JSON of Zarr"):
        open_scene(path)


def test_what_is_no_product(tmp_path):
    with pytest.raises(ProductError, match="nothing there"):
        open_scene(tmp_path / "x.zarr")
    (tmp_path / "y.zarr").mkdir()
    with pytest.raises(ProductError, match=r"none of zarr\.json"):
        open_scene(tmp_path / "y.zarr")
    (tmp_path / "y.zarr/.zgroup").write_text('{"zarr_format": 2}')
    with pytest.raises(ProductError, match="no measurements/reflectance"):
        open_scene(tmp_path / "y.zarr")
    (tmp_path / "z.zarr.zip").write_bytes(b"PK no zip")
    with pytest.raises(ProductError, match="not a whole zip"):
        open_scene(tmp_path / "z.zarr.zip")


def test_info_and_paths(path):
    said = describe_scene(path)
    assert said["offsets"] == dict.fromkeys(said["offsets"], -1000)
    assert said["missing_bands"] == []
    assert (said["crs"], said["baseline"]) == ("EPSG:32632", "05.10")
    run = CliRunner().invoke(cli, ["info", str(path), "--verify"])
    assert run.exit_code == 0
    assert scene_within(path / "measurements/reflectance") == path
    (path / ARRAY / "0.0").write_bytes(b"x")
    assert isinstance(
        CliRunner().invoke(cli, ["info", str(path), "--verify"]).exception, ProductError
    )


def test_without_numcodecs(path):
    """The remedy is named; what needs no unpacking is read."""
    script = (
        "import sys; sys.modules['numcodecs'] = None\n"
        "from geolulc.products import open_scene\n"
        "try: open_scene(sys.argv[1])\n"
        "except Exception as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    )
    assert "pip install 'geolulc[zarr]'" in done.stdout


REAL = (
    ("v2_S2A_MSIL2A_20251008T100041_N0511_R122_T32TQM_20251008T122613", 32632, 699960, 4700040),
    ("v2_S2C_MSIL2A_20250811T112131_N0511_R037_T29TPF_20250811T152216", 32629, 600000, 4600020),
)


def nodes(member, path="") -> dict[str, dict]:
    """The consolidated metadata of the dumps of a tree."""
    found = {}
    attributes = member.get("attributes", {})
    if "members" in member:
        for name, inner in (member["members"] or {}).items():
            found |= nodes(inner, f"{path}/{name}".lstrip("/"))
    elif "shape" in member:
        found[f"{path}/.zarray"] = {k: v for k, v in member.items() if k != "attributes"}
    found[f"{path}/.zattrs".lstrip("/")] = attributes
    return found


@pytest.mark.parametrize(("name", "epsg", "left", "top"), REAL)
def test_real_metadata(name, epsg, left, top, shared, tmp_path):
    dump = json.loads((shared / f"data/eopf-zarr/{name}.json").read_text())
    (tmp_path / ".zmetadata").write_text(json.dumps({"metadata": nodes(dump)}))
    (tmp_path / ".zattrs").write_text("{}")
    scene = open_scene(tmp_path)
    grid = scene.grid
    assert (grid.crs, grid.left, grid.top, grid.width) == (f"EPSG:{epsg}", left, top, 109_800)
    assert set(scene.offsets.values()) == {-1000}
    assert len(scene.offsets) == 12
    assert "SCL" in scene.images
    assert scene.facts["baseline"] == "05.11"


def test_real_consolidated_metadata(shared, tmp_path):
    (source,) = (shared / "data/eopf-zarr").glob("S2A_MSIL2A_20220428T100601*")
    path = shutil.copytree(source, tmp_path / "x.zarr")
    scene = open_scene(path)
    assert (scene.grid.crs, scene.grid.left, scene.grid.top) == ("EPSG:32632", 600_000, 5_200_020)
    assert scene.facts["platform"] == "Sentinel-2A"
    assert scene.facts["sensing_time"].startswith("2022-04-28T10:06:01")
    assert scene.offsets["B8A"] == -1000
    assert scene.images["B02"].tiling.tile_shape == (1830, 1830)
    assert not pixels_of_corner(scene).any()  # no chunk is there


def pixels_of_corner(scene) -> np.ndarray:
    out = np.ones((1830, 1830), np.uint16)
    scene.images["B02"].read(0, 0, out)
    return out


def test_real_geozarr_is_refused(shared, tmp_path):
    (source,) = (shared / "data/eopf-zarr").glob("geozarr_v3_*.json")
    dump = json.loads(source.read_text())

    def flat(member, path=""):
        found = {path: {k: v for k, v in member.items() if k != "members"}}
        for name, inner in (member.get("members") or {}).items():
            found |= flat(inner, f"{path}/{name}".lstrip("/"))
        return found

    consolidated = {"kind": "inline", "metadata": flat(dump)}
    root = {"zarr_format": 3, "node_type": "group", "attributes": dump["attributes"]}
    (tmp_path / "zarr.json").write_text(json.dumps({**root, "consolidated_metadata": consolidated}))
    with pytest.raises(ProductError, match="GeoZarr flavour"):
        open_scene(tmp_path)


def test_a_store_is_asked_for_one_file_at_a_time(path):
    store = Store.of(Folder(path))
    assert store.array("measurements/reflectance/r10m/b99") is None
    assert store.attributes("nowhere") == {}
    with rasterio.Env():
        assert store.array(ARRAY).shape == (240, 240)
