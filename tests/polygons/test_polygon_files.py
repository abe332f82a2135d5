"""Users' vector files: formats, layers, and all that can be wrong with them."""

from __future__ import annotations

import http.server
import json
import sqlite3
import struct
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import geopandas
import numpy as np
import pyarrow
import pyogrio
import pytest
from click.testing import CliRunner
from made_archives import make_store
from made_product import make_product, random_bands
from pyarrow import parquet
from shapely.geometry import LineString, Point, Polygon, box, mapping
from written_map import write_made

from geolulc.cli import cli
from geolulc.errors import ParameterError
from geolulc.polygons import checks, formats, reading
from geolulc.polygons.checks import require_places, require_polygons
from geolulc.polygons.reading import read_layers

SQUARE = box(9, 45, 10, 46)
#: pyogrio warns where such a file is made.
without_crs = pytest.mark.filterwarnings("ignore:'crs' was not provided:UserWarning")
without_wide_numbers = pytest.mark.filterwarnings("ignore:Field n of type Integer64:RuntimeWarning")
FORMATS = ["fields.gpkg", "fields.geojson", "fields.fgb", "fields.shp", "fields.parquet"]


def write(path: Path, *geometries: object, crs: object = 4326, **options: object) -> Path:
    frame = geopandas.GeoDataFrame(
        {"n": range(len(geometries))}, geometry=list(geometries), crs=crs
    )
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_file(path, **options)
    return path


def kml(path: Path, *folders: str) -> Path:
    corners = " ".join(f"{x},{y},0" for x, y in SQUARE.exterior.coords)
    polygon = (
        "<Polygon><outerBoundaryIs><LinearRing><coordinates>"
        f"{corners}</coordinates></LinearRing></outerBoundaryIs></Polygon>"
    )
    inside = "".join(
        f"<Folder><name>{name}</name><Placemark><name>a</name>{polygon}</Placemark></Folder>"
        for name in folders
    )
    path.write_text(
        f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{inside}</Document></kml>'
    )
    return path


def geopackage_with(path: Path, geometry: bytes, kind: str = "POLYGON") -> Path:
    """A GeoPackage whose one feature has this WKB."""
    write(path, SQUARE, layer="fields")
    with sqlite3.connect(path) as database:
        triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in triggers.fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("UPDATE gpkg_geometry_columns SET geometry_type_name = ?", (kind,))
        head = b"GP\0\x01" + struct.pack("<i", 4326)
        database.execute("UPDATE fields SET geom = ?", (head + geometry,))
    return path


def view_in(path: Path, select: str) -> Path:
    """A GeoPackage with the view "seen"."""
    write(path, SQUARE, layer="fields")
    with sqlite3.connect(path) as database:
        database.execute(f"CREATE VIEW seen AS {select}")
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) "
            "VALUES ('seen', 'features', 'seen', 4326)"
        )
        database.execute(
            "INSERT INTO gpkg_geometry_columns VALUES ('seen', 'geom', 'POLYGON', 4326, 0, 0)"
        )
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, SQUARE, box(0, 0, 1, 1))
    ((layer, frame),) = read_layers(path, "zones").items()
    assert layer == "fields"
    assert frame.geometry.iloc[0].equals(SQUARE)
    assert frame["n"].tolist() == [0, 1]
    assert frame.crs.equals(4326, ignore_axis_order=True)


def test_a_kml_has_its_folders(tmp_path: Path) -> None:
    layers = read_layers(kml(tmp_path / "a.kml", "2023", "2024"), "aoi")
    assert list(layers) == ["2023", "2024"]
    assert all(frame.geometry.iloc[0].equals(SQUARE) for frame in layers.values())


@pytest.mark.parametrize("inside", ["", "deep/in/folders/"])
def test_a_zipped_shapefile_wherever_it_lies(tmp_path: Path, inside: str) -> None:
    write(tmp_path / "fields.shp", SQUARE)
    with zipfile.ZipFile(tmp_path / "fields.zip", "w") as archive:
        for path in tmp_path.glob("fields.*"):
            if path.suffix != ".zip":
                archive.write(path, f"{inside}{path.name.upper()}")
        archive.writestr("readme.txt", "fields")
    (frame,) = read_layers(tmp_path / "fields.zip", "zones", single=True).values()
    assert frame.geometry.iloc[0].equals(SQUARE)
    assert frame.crs == 4326


def test_layers_of_polygons_only_and_a_question_where_one_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "project.gpkg"
    write(path, LineString([(0, 0), (1, 1)]), layer="roads")
    write(path, SQUARE, layer="fields", mode="a")
    assert list(read_layers(path, "zones", single=True)) == ["fields"]
    write(path, SQUARE, layer="parcels", mode="a")
    assert list(read_layers(path, "aoi")) == ["fields", "parcels"]
    with pytest.raises(ParameterError, match=r"found layers fields, parcels.*--layer"):
        read_layers(path, "zones", single=True)
    with pytest.raises(ParameterError, match=r"layers a, b.*--layer"):
        read_layers(kml(tmp_path / "two.kml", "a", "b"), "zones", single=True)
    assert list(read_layers(path, "zones", layer="roads")) == ["roads"]


def test_curves_become_lines(tmp_path: Path) -> None:
    ring = struct.pack("<BII10d", 1, 8, 5, 0, 0, 1, 1, 2, 0, 1, -1, 0, 0)
    curved = struct.pack("<BII", 1, 10, 1) + ring
    path = geopackage_with(tmp_path / "c.gpkg", curved, "CURVEPOLYGON")
    (frame,) = read_layers(path, "aoi").values()
    assert frame.geometry.iloc[0].area == pytest.approx(np.pi, rel=2e-3)
    several = struct.pack("<BII", 1, 12, 1) + curved
    path = geopackage_with(tmp_path / "m.gpkg", several, "MULTISURFACE")
    (frame,) = read_layers(path, "aoi").values()
    assert frame.geometry.iloc[0].area == pytest.approx(np.pi, rel=2e-3)


@pytest.mark.parametrize("value", [1e9, 1e308, np.nan, np.inf, -np.inf, 91.0])
def test_coordinates_that_lie_nowhere_are_counted(tmp_path: Path, value: float) -> None:
    ring = struct.pack("<BIII8d", 1, 3, 1, 4, 0, 0, 1, value, 1, 1, 0, 0)
    path = geopackage_with(tmp_path / "a.gpkg", ring)
    with pytest.raises(ParameterError, match=r"1 of 1 geometries with coordinates such as 1, "):
        read_layers(path, "aoi")


@pytest.mark.parametrize(
    "geometry",
    [
        struct.pack("<BIII2d", 1, 3, 1, 1, 0, 0),
        struct.pack("<BIII2d", 1, 3, 1, 2**31, 0, 0),
        struct.pack("<BIIBIII8d", 1, 16, 1, 1, 17, 1, 4, 0, 0, 1, 0, 1, 1, 0, 0),
    ],
    ids=["ring of one point", "cut", "tin"],
)
def test_broken_geometries_are_one_line(tmp_path: Path, geometry: bytes) -> None:
    path = geopackage_with(tmp_path / "a.gpkg", geometry)
    with pytest.raises(ParameterError, match="aoi: found"):
        read_layers(path, "aoi")


@without_crs
@pytest.mark.parametrize(
    ("crs", "found"),
    [
        (None, "found no CRS"),
        ('LOCAL_CS["site",UNIT["metre",1]]', "the CRS 'site' .Engineering"),
        ("EPSG:4978", "Geocentric"),
    ],
)
def test_a_crs_that_says_no_place_is_refused(tmp_path: Path, crs: object, found: str) -> None:
    path = write(tmp_path / "a.gpkg", SQUARE, crs=crs)
    with pytest.raises(ParameterError, match=found):
        read_layers(path, "aoi")


@without_crs
def test_metres_as_degrees_are_refused_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.geojson", box(500_000, 0, 600_000, 100_000), crs=None)
    with pytest.raises(ParameterError, match=r"such as 600000, 0 .*as its CRS says \(WGS 84\)"):
        read_layers(path, "zones")


def test_missing_and_empty_geometries_pass_and_mixed_ones_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gpkg", SQUARE, Point(0, 0), Point(1, 1), None, Polygon())
    (frame,) = read_layers(path, "zones").values()
    with pytest.raises(ParameterError, match="2 of 5 geometries of type Point"):
        require_polygons(frame, "zones")
    require_polygons(frame[frame.geom_type != "Point"], "zones")


NO_POLYGON = {
    "a.kml": '<kml xmlns="http://www.opengis.net/kml/2.2"><Document><NetworkLink><Link><href>b.kml'
    "</href></Link></NetworkLink></Document></kml>",
    "a.geojson": '{"type": "FeatureCollection", "features": []}',
    "b.geojson": '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {},'
    ' "geometry": null}]}',
}
#: Commands that read users' polygons, which are "{}".
COMMANDS = (
    *("summarize map.tif --zones {} --out o.csv", "sample map.tif --strata {} --out o.gpkg"),
    *("map scene.SAFE --aoi {} --out o.tif --device cpu", "search --aoi {} --dates 2024-06-25"),
    "label scene.SAFE --polygons {} --field a --out o.store",
    "transfer made.store --sources all --targets all --regions {} --dry-run --out o",
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_made("cells", folder / "map.tif")
    make_store(folder / "made.store", 4)
    make_product(folder, random_bands(1200, 1200)).rename(folder / "scene.SAFE")
    return folder


@pytest.mark.parametrize("name", NO_POLYGON)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_takes_a_file_without_polygons(
    command: str, name: str, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_text(NO_POLYGON[name])
    monkeypatch.chdir(inputs)
    arguments = command.replace("{}", str(tmp_path / name)).split()
    with pytest.raises(ParameterError, match=f"{name}: found no geometry; expected at least one"):
        CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert not list(inputs.glob("o*"))


def test_one_polygon_has_an_area(tmp_path: Path) -> None:
    """A bow tie has one, though its halves cancel out; a line there and back has none."""
    flat, bow_tie = Polygon([(9, 45), (10, 46), (9, 45)]), Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    require_polygons(geopandas.GeoDataFrame(geometry=[flat, None, bow_tie], crs=4326), "zones")
    for geometries in ([flat], [None, Polygon()]):
        with pytest.raises(ParameterError, match="zones: found no polygon with an area"):
            require_polygons(geopandas.GeoDataFrame(geometry=geometries, crs=4326), "zones")


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.vrt", "<OGRVRTDataSource><OGRVRTLayer name='a'><SrcDataSource>/vsicurl/{}/a.geojson"
         "</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>", "other sources"),
        ("a.geojson", '{{"a": "<OGRVRTDataSource><OGRVRTLayer name=\'a\'><SrcDataSource>/vsicurl/'
         '{}/a.geojson</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"}}', "other sources"),
        ("a.xml", "<OGRWFSDataSource><URL>{}/wfs</URL></OGRWFSDataSource>", "other sources"),
        ("a.gdalg.json", '{{"type": "gdal_streamed_alg", "command_line": '
         '"gdal vector pipeline ! read /vsicurl/{}/a.geojson ! write a"}}', "other sources"),
        ("a.geojson", '{{"type": "FeatureCollection", "features": [], "crs": {{"type": "link", '
         '"properties": {{"href": "{}/crs", "type": "ogcwkt"}}}}}}', "fetched from elsewhere"),
        ("a.geojson", '{{"type": "FeatureCollection", "features": [], "crs": {{"type": "ur\\u006c",'
         ' "properties": {{"url": "{}/crs"}}}}}}', "fetched from elsewhere"),
        ("a.csv", "x,y\n1,2\n", "another format"),
        ("a.gpkg", "", "an empty file"),
    ],
    ids=["vrt", "vrt in json", "wfs", "pipeline", "link", "escaped url", "csv", "empty"],
)  # fmt: skip
def test_files_that_name_servers_reach_none(
    tmp_path: Path, server: tuple[str, list[str]], name: str, text: str, found: str
) -> None:
    address, asked = server
    (tmp_path / name).write_text(text.format(address))
    with pytest.raises(ParameterError, match=found):
        read_layers(tmp_path / name, "aoi")
    assert asked == []


def geodatabase(path: Path) -> Path:
    return write(path, SQUARE, crs=32632, driver="OpenFileGDB", layer="fields")


@without_wide_numbers
def test_a_geodatabase_is_read_also_zipped(tmp_path: Path) -> None:
    path = geodatabase(tmp_path / "mine.gdb")
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for file in path.iterdir():
            archive.write(file, f"deep/down/mine.gdb/{file.name}")
    for given in (path, tmp_path / "mine.zip"):
        (frame,) = read_layers(given, "zones", layer="fields").values()
        assert frame.crs == "EPSG:32632"
        assert frame.geometry.iloc[0].equals(SQUARE)
        assert list(frame["n"]) == [0]


def test_all_vector_files_of_a_folder_are_its_layers(tmp_path: Path) -> None:
    (tmp_path / "fields").mkdir()
    for name in ("one.shp", "two.shp", "three.gpkg"):
        write(tmp_path / "fields" / name, SQUARE)
    (tmp_path / "fields" / "notes.txt").write_text("x")
    assert set(read_layers(tmp_path / "fields", "aoi")) == {"one", "two", "three"}
    with pytest.raises(ParameterError, match=r"layers one, three, two.*--layer"):
        read_layers(tmp_path / "fields", "zones", single=True)


@pytest.mark.parametrize("name", ["fields", "fields.gdb"])
def test_a_folder_without_a_vector_file_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "a.xml").write_text("<OGRWFSDataSource><URL>x</URL></OGRWFSDataSource>")
    with pytest.raises(ParameterError, match="a folder without a vector file"):
        read_layers(tmp_path / name, "aoi")


@without_wide_numbers
def test_a_geodatabase_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = geodatabase(tmp_path / "mine.gdb")
    monkeypatch.setattr(formats, "MOST_BYTES", 1000)
    with pytest.raises(ParameterError, match="GiB"):
        read_layers(path, "aoi")


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """Address of a server on loopback, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", asked
        listening.shutdown()
        thread.join()


def test_links_in_a_kml_are_not_followed(tmp_path: Path, server: tuple[str, list[str]]) -> None:
    address, asked = server
    path = kml(tmp_path / "a.kml", "a")
    link = f"<NetworkLink><Link><href>{address}/a.kml</href></Link></NetworkLink><Folder>"
    path.write_text(path.read_text().replace("<Folder>", link))
    assert len(read_layers(path, "aoi")) == 1
    assert asked == []


def test_gdal_is_left_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gpkg", SQUARE)
    before = pyogrio.get_gdal_config_option("GDAL_HTTP_PROXY")
    read_layers(path, "aoi")
    assert pyogrio.get_gdal_config_option("GDAL_HTTP_PROXY") == before


@pytest.mark.parametrize(
    "select",
    [
        "SELECT fid, geom, ogr_geocode('x', 'geometry') AS n FROM fields",
        "SELECT fid, geom, zeroblob(1000000000) AS n FROM fields",
        "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) "
        "SELECT x AS fid, geom FROM fields, r",
    ],
    ids=["service", "memory", "endless"],
)
def test_views_that_call_functions_are_refused(tmp_path: Path, select: str) -> None:
    with pytest.raises(ParameterError, match="layer seen, which calls functions"):
        read_layers(view_in(tmp_path / "a.gpkg", select), "zones")


def test_a_view_of_endlessly_many_rows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "MOST_FEATURES", 100)
    many = (
        "SELECT a.fid, a.geom FROM fields a, sqlite_master t, sqlite_master u, sqlite_master v, "
        "sqlite_master w"
    )
    with pytest.raises(ParameterError, match="layer seen, a view of more than 100 rows"):
        read_layers(view_in(tmp_path / "a.gpkg", many), "zones")
    monkeypatch.undo()
    monkeypatch.setattr(formats, "_MOST_STEPS", 10_000)
    none = "t.rowid + u.rowid + v.rowid + w.rowid < 0"
    with pytest.raises(ParameterError, match=r"layer seen, which .*has no end .interrupted"):
        read_layers(view_in(tmp_path / "b.gpkg", f"{many} WHERE {none}"), "zones")


def test_a_view_that_only_selects_is_read(tmp_path: Path) -> None:
    path = view_in(tmp_path / "a.gpkg", "SELECT fid, geom FROM fields WHERE n = 0")
    assert read_layers(path, "zones", layer="seen")["seen"].geometry.iloc[0].equals(SQUARE)


def test_sizes_are_bounded_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.gpkg", *[SQUARE] * 5)
    monkeypatch.setattr(reading, "MOST_FEATURES", 4)
    with pytest.raises(ParameterError, match="5 features, more than the 4"):
        read_layers(path, "aoi")
    monkeypatch.undo()
    monkeypatch.setattr(checks, "MOST_CORNERS", 24)
    with pytest.raises(ParameterError, match="25 corners; expected at most 24"):
        read_layers(path, "aoi")


def test_a_parquet_file_that_unpacks_to_far_more_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = parquet.read_table(write(tmp_path / "a.parquet", SQUARE))
    rows = 20_000
    texts = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array([0] * rows, pyarrow.int32()), pyarrow.array(["x" * 10_000])
    )
    geometry = pyarrow.array(table["geometry"].to_pylist() * rows)
    wide = pyarrow.table({"geometry": geometry, "text": texts})
    path = tmp_path / "wide.parquet"
    parquet.write_table(
        wide.replace_schema_metadata(table.schema.metadata), path, store_schema=False
    )
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(reading, "_MOST_VALUES", 10_000_000)
    with pytest.raises(ParameterError, match="bytes of values, more than the 10,000,000"):
        read_layers(path, "aoi")


@pytest.mark.parametrize("name", [*FORMATS, "fields.kml"])
def test_damaged_files_are_read_or_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("kml"):
        kml(path, "a")
    else:
        write(path, SQUARE, box(0, 0, 1, 1))
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(40):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[random.integers(0, len(whole), 8)] = random.integers(0, 256, 8)
        path.write_bytes(damaged[: random.integers(1, 2 * len(whole))].tobytes())
        try:
            read_layers(path, "aoi")
        except ParameterError:
            refused += 1
    assert refused > 0


def test_a_frame_of_a_program_is_checked_as_a_file_is() -> None:
    frame = geopandas.GeoDataFrame(geometry=[box(0, 0, 1e5, 1e5)], crs=4326)
    with pytest.raises(ParameterError, match="1 of 1 geometries"):
        require_places(frame, "zones")
    require_places(frame.set_crs(32632, allow_override=True), "zones")


def test_what_geojson_says_of_its_crs_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    geometry = mapping(box(500_000, 0, 600_000, 100_000))
    feature = {"type": "Feature", "properties": {"crs": "link"}, "geometry": geometry}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    (frame,) = read_layers(path, "aoi").values()
    assert frame.crs == 32632
