"""STAC Items of COGs: the offset of each collection, and the map of the SAFE, or one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from made_items import EARTH_SEARCH, write_cog, write_item
from made_product import make_product, random_bands
from made_server import Server, send, serving

from geolulc.bands import BAND_NAMES, band
from geolulc.cli import cli
from geolulc.errors import GeolulcError, ParameterError, ProductError, RemoteError
from geolulc.products import list_products, open_product, open_scene
from geolulc.products.atmosphere import aerosol_over
from geolulc.products.directions import Direction
from geolulc.products.item_assets import images_of, resolved
from geolulc.products.item_offsets import offset_of_pixels, rule_of
from geolulc.remote.files import remote_url

SCL = np.repeat(np.arange(12, dtype=np.uint8), 1200).reshape(120, 120)


@pytest.fixture(scope="module")
def safe(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("safe")
    return make_product(folder, random_bands(), scl=SCL, baseline="05.10")


@pytest.fixture(scope="module")
def kept(safe, tmp_path_factory) -> Path:
    return write_item(safe, tmp_path_factory.mktemp("kept") / "item")


@pytest.fixture
def server(kept) -> Iterator[Server]:
    with serving() as started:
        for file in kept.parent.iterdir():
            started.files[f"/a/{file.name}"] = file.read_bytes()
        yield started


def mapped(scene: Path | str, out: Path, *options: str) -> bytes:
    out.parent.mkdir(exist_ok=True)
    arguments = ["map", str(scene), "--out", str(out), "--outputs", "probabilities", "-q",
                 "--min-clear", "0", "--stride", "600", *options]  # fmt: skip
    CliRunner().invoke(cli, arguments, catch_exceptions=False, standalone_mode=False)
    return out.read_bytes()


def real_items(shared: Path) -> dict[str, dict]:
    return {
        str(path.relative_to(shared / "data/stac")): item
        for path in sorted((shared / "data/stac").glob("*/*.json"))
        if (item := json.loads(path.read_text())).get("type") == "Feature"
    }


def test_the_angles_of_the_safe(safe, kept):
    there, found = open_scene(safe), open_scene(kept)
    assert found.sun == there.sun
    assert found.views == dict.fromkeys(found.offsets, there.views["B04"])
    properties = {
        "s2:mean_solar_zenith": None, "s2:mean_solar_azimuth": None, "view:sun_elevation": 50,
        "view:incidence_angle": "wide",
    }  # fmt: skip
    item = json.loads(kept.read_text())
    item["properties"] |= properties
    item["properties"] = {k: v for k, v in item["properties"].items() if v is not None}
    changed = kept.parent / "other.json"
    changed.write_text(json.dumps(item))
    assert open_scene(changed).sun == Direction(40.0)
    assert open_scene(changed).views == {}
    changed.unlink()


#: By folder: (offset since 04.00, whether pixels must confirm it).
EXPECTED = {
    "aws-sentinel-s2-l2a-antimeridian": (-1000, True),
    "earth-search-v0": (0, True),
    "earth-search-v1": (0, False),
    "eopf": (-1000, True),
    "planetary-computer": (0, True),
}


def test_every_real_item_has_the_right_offset(shared):
    """Those of earth-search v1 lie in ``sentinel-cogs``, whatever their metadata say."""
    items = real_items(shared)
    assert len(items) == 39
    for name, item in items.items():
        rule = rule_of(item, images_of(item).get("B04", ""))
        offset, certain = EXPECTED[name.partition("/")[0]]
        old = (rule.baseline or "") < "04.00"
        assert rule.baseline is not None, name
        assert rule.offset == (0 if old else offset), name
        assert rule.is_certain == (old or certain), name


def test_real_items_of_the_bands_are_recognised(shared):
    for name, item in real_items(shared).items():
        if name.startswith("eopf"):
            assert images_of(item) == {}
        else:
            bands = {b for b in images_of(item) if b.startswith("B")}
            assert len(bands) == 12, name
            assert {"SCL", "TCI"} <= set(images_of(item)), name


def test_offsets_by_pixels():
    rng = np.random.default_rng(0)
    reflectance = rng.integers(50, 3000, (50, 50))
    shown = np.clip(np.rint(1 + reflectance * 254 / 3558), 1, 255).astype(np.uint8)
    assert offset_of_pixels(reflectance.astype(np.uint16), shown) == 0
    assert offset_of_pixels((reflectance + 1000).astype(np.uint16), shown) == -1000
    assert offset_of_pixels((reflectance + 500).astype(np.uint16), shown) is None
    assert offset_of_pixels(np.zeros((50, 50), np.uint16), shown) is None
    assert offset_of_pixels(reflectance.astype(np.uint16), np.full((50, 50), 255, np.uint8)) is None


COPERNICUS = "https://stac.dataspace.copernicus.eu/v1/collections/sentinel-2-l2a"
PLANETARY = "https://planetarycomputer.microsoft.com/api/stac/v1/collections/sentinel-2-l2a"


@pytest.mark.parametrize(
    ("options", "offset"),
    [
        ({"collection": "sentinel-2-c1-l2a"}, -1000),
        ({"collection": "sentinel-2-l2a", "links": (COPERNICUS,)}, -1000),
        ({"collection": "sentinel-2-l2a", "links": (PLANETARY,), "common": False}, -1000),
        ({"collection": "sentinel-2-l2a", "links": (PLANETARY,), "visual": False}, -1000),
        ({"collection": "sentinel-2-l2a", "links": (EARTH_SEARCH,), "removed": True}, 0),
        # one of those that Earth Search forgot: its pixels say so
        ({"collection": "sentinel-2-l2a", "links": (EARTH_SEARCH,), "removed": False}, -1000),
        # nobody knows the collection: pixels decide
        ({"collection": "mine", "removed": True}, 0),
        ({"collection": "mine", "removed": False}, -1000),
    ],
)
def test_offset_of_each_collection(options, offset, safe, tmp_path):
    scene = open_scene(write_item(safe, tmp_path / "x", **options))
    assert set(scene.offsets.values()) == {offset}
    assert len(scene.offsets) == 12


def test_an_item_as_copernicus_has_it(safe, tmp_path):
    """A key for each resolution of a band, the baseline as ``processing:version``, no scale."""
    path = write_item(
        safe, tmp_path / "x", collection="sentinel-2-l2a", links=(COPERNICUS,), common=False,
        visual=False,
        properties={"s2:processing_baseline": None, "s2:product_uri": None,
                    "processing:version": "05.10"},
    )  # fmt: skip
    item = json.loads(path.read_text())
    own = {f"{key}_{band(key).resolution if key != 'SCL' else 20}m": asset
           for key, asset in item["assets"].items()}  # fmt: skip
    others = {key: {"href": f"./{key}.jp2"} for key in ("B02_20m", "B04_60m", "B8A_60m", "SCL_60m")}
    path.write_text(json.dumps({**item, "id": "unnamed", "assets": {**others, **own}}))
    scene = open_scene(path)
    assert set(scene.offsets.values()) == {-1000}
    assert set(scene.images) == {*BAND_NAMES, "SCL"}
    with scene.opened(["B02", "B8A", "SCL"]) as images:
        assert [image.tiling.shape for image in images.values()] == [
            (240, 240), (120, 120), (120, 120)
        ]  # fmt: skip
    item["assets"] = {**own, "B04_10m": {"href": "s3://eodata/Sentinel-2/B04_10m.jp2"}}
    path.write_text(json.dumps(item))
    with pytest.raises(ProductError, match=r"s3://eodata.*geolulc fetch"):
        open_scene(path)


@pytest.mark.parametrize(("key", "side"), [("aot", 120), ("AOT", 240)])
def test_the_aerosol_of_an_item(key, side, kept, safe, tmp_path):
    """Of 20 m at Earth Search, of 10 m at the Planetary Computer."""
    write_cog(tmp_path / "AOT.tif", np.full((1, side, side), 250, np.uint16), open_product(safe))
    item = json.loads(changed(kept, tmp_path).read_text())
    item["assets"][key] = {"href": "AOT.tif"}
    (tmp_path / "item.json").write_text(json.dumps(item))
    assert aerosol_over(open_scene(kept)) is None
    assert aerosol_over(open_scene(tmp_path / "item.json")) == 0.25


@pytest.mark.parametrize(
    "options",
    [
        {"collection": "mine", "visual": False},
        {"collection": "sentinel-2-l2a", "links": (EARTH_SEARCH,), "visual": False},
        {"collection": "sentinel-2-c1-l2a", "removed": True},
    ],
)
def test_an_offset_that_is_not_known_is_refused(options, safe, tmp_path):
    path = write_item(safe, tmp_path / "x", **options)
    with pytest.raises(ProductError, match=r"offset that is not known.*--offset -1000"):
        open_scene(path)
    assert set(open_scene(path, offset=-1000).offsets.values()) == {-1000}
    with pytest.raises(ParameterError, match="which says its own"):
        open_scene(safe, offset=0)


def test_the_map_is_byte_for_byte_that_of_the_safe(safe, kept, server, tmp_path):
    """From an Item, the folder that holds it, a list of Items, and a server."""
    expected = mapped(safe, tmp_path / "safe/map.tif")
    assert mapped(kept, tmp_path / "item/map.tif") == expected
    assert mapped(kept.parent, tmp_path / "folder/map.tif") == expected
    url = f"{server.url}/a/item.json"
    assert mapped(url, tmp_path / "url/map.tif", "--allow-internal") == expected
    item = json.loads(kept.read_text())
    listed = kept.parent.parent / "list.json"
    listed.write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    for asset in item["assets"].values():
        asset["href"] = asset["href"].replace("./", "item/")
    listed.write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    assert list_products([listed]) == [listed / "0"]
    assert mapped(listed, tmp_path / "list/map.tif") == expected


def test_offset_removed_gives_the_same_reflectance(safe, tmp_path):
    """Where no reflectance is below 1/10000, the map of harmonised images is the same."""
    there = mapped(safe, tmp_path / "safe/map.tif")
    path = write_item(safe, tmp_path / "x", collection="sentinel-2-l2a", links=(EARTH_SEARCH,),
                      removed=True)  # fmt: skip
    assert mapped(path, tmp_path / "cogs/map.tif") == there


def test_only_what_an_area_needs_is_read(safe, tmp_path):
    """Of images whose tiles are noise, and far from the heads of files."""
    path = write_item(
        make_product(tmp_path / "s", random_bands(9600, 9600), baseline="05.10"), tmp_path / "x"
    )
    sizes = []
    with serving() as server:
        for file in path.parent.iterdir():
            server.files[f"/{file.name}"] = file.read_bytes()
        whole = sum(len(data) for name, data in server.files.items() if "_B" in f"_{name[1:]}")
        for options in ([], ["--aoi", "10.3153,46.9443,10.3166,46.9452"]):
            out = tmp_path / f"{len(options)}" / "map.tif"
            out.parent.mkdir()
            run = CliRunner().invoke(
                cli, ["map", f"{server.url}/item.json", "--out", str(out), "--json", "-q",
                      "--allow-internal", *options, "--outputs", "probabilities"],
                catch_exceptions=False,
            )  # fmt: skip
            sizes.append(json.loads(run.stdout)[0]["bytes_received"])
    assert 0.7 * whole < sizes[0] < 1.6 * whole
    assert sizes[1] < sizes[0] / 2


@pytest.mark.parametrize("fault", [500, 503, "cut", "drop"])
def test_faults_that_pass(fault, server, safe, tmp_path):
    server.faults["/a/B04.tif"] = [fault]
    server.faults["/a/B08.tif"] = [fault]
    url = f"{server.url}/a/item.json"
    assert mapped(url, tmp_path / "a/map.tif", "--allow-internal") == mapped(
        safe, tmp_path / "b/map.tif"
    )


@pytest.mark.parametrize(
    ("fault", "found"),
    [(403, "403 Forbidden"), (404, "404 Not Found"), ("garbage", "not HTTP")],
)
def test_faults_that_stay(fault, found, server, tmp_path):
    server.faults["/a/B08.tif"] = [fault] * 50
    url = f"{server.url}/a/item.json?sig=SECRET"
    out = tmp_path / "map.tif"
    run = CliRunner().invoke(cli, ["map", url, "--out", str(out), "--allow-internal", "-q"])
    assert isinstance(run.exception, RemoteError)
    assert found in str(run.exception)
    assert "SECRET" not in str(run.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_fault_in_the_middle_of_a_run(server, tmp_path):
    """The error is the server's, and there is no partial map."""
    data = server.files.pop("/a/B08.tif")

    def heads_only(request) -> None:
        start = int(request.headers["range"].partition("=")[2].partition("-")[0])
        if start:
            return send(request, 403, b"")
        return server._send_file(request, data, None)

    server.routes["/a/B08.tif"] = heads_only
    out = tmp_path / "map.tif"
    run = CliRunner().invoke(
        cli, ["map", f"{server.url}/a/item.json", "--out", str(out), "--allow-internal", "-q"]
    )
    assert isinstance(run.exception, RemoteError), run.exception
    assert "403" in str(run.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_server_without_ranges(server):
    server.ranges = False
    with pytest.raises(RemoteError, match="does not give parts of files"):
        open_scene(f"{server.url}/a/item.json", allow_internal=True)


def changed(path: Path, folder: Path, **changes) -> Path:
    """The Item with other hrefs by asset, or properties."""
    item = json.loads(path.read_text())
    for key, value in changes.items():
        if key in item["assets"]:
            item["assets"][key]["href"] = value
        else:
            item["properties"][key.replace("__", ":")] = value
    for asset in item["assets"].values():
        if asset["href"].startswith("./"):
            asset["href"] = str(path.parent / asset["href"])
    target = folder / "item.json"
    target.write_text(json.dumps(item))
    return target


@pytest.mark.parametrize("href", ["file:///etc/passwd.tif", "file://localhost/etc/x.tif"])
def test_a_remote_item_cannot_name_local_files(href, server, kept):
    item = json.loads(kept.read_text())
    item["assets"]["red"]["href"] = href
    server.files["/a/item.json"] = json.dumps(item).encode()
    with pytest.raises(ProductError, match="the href file:"):
        open_scene(f"{server.url}/a/item.json", allow_internal=True)


def test_internal_addresses_are_refused_unless_asked(server, kept, tmp_path):
    with pytest.raises(RemoteError, match="internal address"):
        open_scene(f"{server.url}/a/item.json")
    path = changed(kept, tmp_path, red=f"{server.url}/a/B04.tif")
    asked = len(server.asked)
    with pytest.raises(RemoteError, match="internal address"):
        open_scene(path)
    assert len(server.asked) == asked


@pytest.mark.parametrize(
    "href",
    ["s3://eodata/B04.tif", "/vsicurl/http://x/B04.tif", "ftp://x/B04.tif", "gs://x/B04.tif",
     "x\0.tif"],
)  # fmt: skip
def test_hrefs_that_are_not_read(href, kept, tmp_path):
    with pytest.raises(ProductError, match="href"):
        open_scene(changed(kept, tmp_path, red=href))


def test_public_buckets_are_read_by_https():
    place = resolved("s3://sentinel-cogs/a/B04.tif", Path(), "x")
    assert place == "https://sentinel-cogs.s3.us-west-2.amazonaws.com/a/B04.tif"
    assert rule_of({"collection": "sentinel-2-l2a"}, place).removed
    with pytest.raises(ProductError, match=r"the href s3://eodata/B04.jp2; .* geolulc fetch"):
        resolved("s3://eodata/B04.jp2", "https://stac.dataspace.copernicus.eu/v1/x", "x")


def test_an_image_that_is_no_tiff(kept, tmp_path):
    """A VRT would name other files."""
    vrt = tmp_path / "B04.tif"
    vrt.write_text("<VRTDataset rasterXSize='9' rasterYSize='9'></VRTDataset>")
    with pytest.raises(ProductError, match="damaged"):
        open_scene(changed(kept, tmp_path, red=str(vrt)))
    with pytest.raises(ProductError, match="damaged"):
        open_scene(changed(kept, tmp_path, red=str(tmp_path / "none.tif")))


def test_images_that_disagree(kept, tmp_path):
    scene = open_scene(changed(kept, tmp_path, nir=str(kept.parent / "B05.tif")))
    with pytest.raises(ProductError, match="pixels; expected"), scene.opened(["B08"]):
        pass
    scene = open_scene(changed(kept, tmp_path, nir=str(kept.parent / "TCI.tif")))
    with pytest.raises(ProductError, match="uint8; expected uint16"), scene.opened(["B08"]):
        pass
    with pytest.raises(ProductError, match="the CRS EPSG:32632, EPSG:32633"):
        open_scene(changed(kept, tmp_path, proj__epsg=32633))
    with pytest.raises(ProductError, match="datetime"):
        open_scene(changed(kept, tmp_path, datetime="soon"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[]", "type 'list'"),
        ("{", "no JSON"),
        ('{"type": "Feature"}', "no properties"),
        ('{"type": "Feature", "properties": {}}', "no image of the red band"),
        ('{"type": "FeatureCollection", "features": []}', "type 'FeatureCollection'"),
        (
            '{"type": "Feature", "properties": {}, "assets": {"red": {"href": "http://[x.tif"}}}',
            "no image",
        ),
    ],
)
def test_what_is_no_item(text, found, tmp_path):
    path = tmp_path / "item.json"
    path.write_text(text)
    with pytest.raises(GeolulcError, match=found):
        open_scene(path)


def test_urls_in_paths():
    assert remote_url(Path("https://host/a/b.json")) == "https://host/a/b.json"
    assert remote_url("http://host/x") == "http://host/x"
    assert remote_url(Path("scenes/x.json")) is None
    assert remote_url(Path("https.json")) is None


def test_info_of_an_item(kept):
    run = CliRunner().invoke(cli, ["info", str(kept), "--json"], catch_exceptions=False)
    said = json.loads(run.stdout)
    assert "B8A" in run.stdout
    assert "-1000" in run.stdout
    assert "05.10" in json.dumps(said)
