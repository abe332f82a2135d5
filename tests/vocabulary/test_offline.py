"""Files that name addresses: once a command runs, GDAL asks nobody for them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from made_archives import make_store
from made_nets import make_net
from made_product import make_product, random_bands
from written_map import write_made

from geolulc.cli import main
from geolulc.nets import Model, save_checkpoint

VRT = """<VRTDataset rasterXSize="9" rasterYSize="9"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename>{}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>
</VRTRasterBand></VRTDataset>"""
RASTERS = {
    "vsicurl.vrt": VRT.format("/vsicurl/{url}/vsicurl.tif"),
    "streamed.vrt": VRT.format("/vsicurl_streaming/{url}/streamed.tif"),
    "plain.vrt": VRT.format("{url}/plain.tif"),
    "netcdf.vrt": VRT.format("NETCDF:{url}/dap.nc:x"),
    "hdf.vrt": VRT.format("HDF5:{url}/hdf.h5://x"),
    "wms.xml": """<GDAL_WMS><Service name="WMS"><ServerUrl>{url}/wms?</ServerUrl><Layers>x</Layers>
</Service><DataWindow><UpperLeftX>0</UpperLeftX><UpperLeftY>9</UpperLeftY><LowerRightX>9</LowerRightX>
<LowerRightY>0</LowerRightY><SizeX>64</SizeX><SizeY>64</SizeY></DataWindow></GDAL_WMS>""",
    "wcs.xml": """<WCS_GDAL><ServiceURL>{url}/wcs?</ServiceURL><CoverageName>x</CoverageName>
<Version>1.0.0</Version></WCS_GDAL>""",
}
POINT = {"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [0, 0]}}
PIPELINE = "gdal vector pipeline ! read {url}/pipeline.json ! write --format stream s"
VECTORS = {
    "wfs.xml": "<OGRWFSDataSource><URL>{url}/wfs</URL></OGRWFSDataSource>",
    "features.vrt": """<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>{url}/features.json
</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>""",
    "crs.geojson": json.dumps(
        {
            "type": "FeatureCollection",
            "crs": {"type": "link", "properties": {"href": "{url}/crs", "type": "ogcwkt"}},
            "features": [POINT],
        }
    ),
    "linked.kml": """<kml xmlns="http://www.opengis.net/kml/2.2"><Document><NetworkLink><Link>
<href>{url}/linked.kml</href></Link></NetworkLink></Document></kml>""",
    "schema.gml": """<a:FeatureCollection xmlns:a="http://www.opengis.net/gml"
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="{url}/x {url}/x.xsd">
</a:FeatureCollection>""",
    "entity.qml": """<!DOCTYPE qgis SYSTEM "{url}/x.dtd" [<!ENTITY x SYSTEM "{url}/x">]>
<qgis>&x;</qgis>""",
    "pipeline.gdalg.json": json.dumps({"type": "gdal_streamed_alg", "command_line": PIPELINE}),
}
OPEN = """
import sys, rasterio, pyogrio
{confine}
for path in sys.argv[1:]:
    try:
        if path.partition(":")[0] == "raster":
            rasterio.open(path.partition(":")[2]).read()
        else:
            pyogrio.read_dataframe(path.partition(":")[2])
    except Exception:
        pass
"""


@pytest.fixture
def server() -> Iterator[tuple[str, set[str]]]:
    """Its address, and what it noticed: a connection, and the paths that it was asked for."""
    asked: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def setup(self) -> None:
            asked.add("a connection")
            super().setup()

        def do_GET(self) -> None:
            asked.add(self.path.partition("?")[0])
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}", asked
        serving.shutdown()
        thread.join()


def write(folder: Path, url: str) -> list[str]:
    for name, text in (RASTERS | VECTORS).items():
        (folder / name).write_text(text.replace("{url}", url))
    return [f"{'raster' if name in RASTERS else 'vector'}:{folder / name}" for name in
            RASTERS | VECTORS]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_nothing_is_asked_for(tmp_path, server):
    """Not even where the environment says that this machine needs no proxy."""
    url, asked = server
    given = write(tmp_path, url)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("GDAL_", "CPL_"))}
    confine = "from geolulc.process import confine_gdal; confine_gdal()"
    for code, reached in ((confine, False), ("", True)):
        asked.clear()
        subprocess.run(
            [sys.executable, "-c", OPEN.format(confine=code), *given],
            env=environment | {"no_proxy": "127.0.0.1", "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        )
        assert bool(asked) == reached
    assert {"/vsicurl.tif", "/streamed.tif", "/plain.tif", "/wms", "/wcs", "/wfs", "/crs"} <= asked


@pytest.mark.parametrize("name", RASTERS)
def test_a_file_named_like_a_map(name, tmp_path, server, monkeypatch, capsys):
    url, asked = server
    write(tmp_path, url)
    (tmp_path / name).rename(tmp_path / "map.tif")
    monkeypatch.setattr(sys, "argv", ["geolulc", "info", str(tmp_path / "map.tif")])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 1
    assert capsys.readouterr().err.startswith(f"geolulc: {tmp_path / 'map.tif'}: found ")
    assert asked == set()


#: Every command and option that takes a file of strangers, which is "{}".
COMMANDS = (
    *("info {}", "classes {}", "compare {} map.tif --out o.tif", "mosaic {} --out o.tif"),
    *("compare map.tif {} --out o.tif", "summarize map.tif --zones {} --out o.csv"),
    *("summarize {} --zones a.gpkg --out o.csv", "assess map.tif --reference {} --out o"),
    *("assess {} --reference points.csv --out o", "sample {} --out o.gpkg"),
    *("assess map.tif --reference points.csv --classes {} --out o",),
    *("sample map.tif --strata {} --out o.gpkg", "map {} --model model.safetensors --out o.tif"),
    *("map scene.SAFE --model model.safetensors --aoi {} --out o.tif --device cpu",),
    *("map scene.SAFE --model {} --out o.tif", "evaluate model.safetensors {}"),
    *("transfer made.store --sources all --targets all --regions {} --dry-run --out o",),
    *("train made.store o --config {}", "train made.store o --pretrained {}"),
    *("prepare {} o.store", "prepare --unlabelled {} o.store", "stac {} --out o.json"),
    *("label scene.SAFE --polygons {} --field a --out o.store", "search --aoi {} --dates 2024-06"),
    "label scene.SAFE --reference {} --out o.store",
)
RUN = """
import sys
from geolulc.cli import main
for line in sys.stdin:
    sys.argv = ["geolulc", *line.split()]
    try:
        main()
    except SystemExit as stop:
        print(stop.code, line, file=sys.__stdout__, end="")
"""


def test_no_command_reaches_a_server(tmp_path: Path, server: tuple[str, set[str]]) -> None:
    """Whichever kind of file is given, wherever a command takes one."""
    url, asked = server
    write(tmp_path, url)
    write_made("cells", tmp_path / "map.tif")
    make_store(tmp_path / "made.store", 4)
    make_product(tmp_path, random_bands(1200, 1200)).rename(tmp_path / "scene.SAFE")
    save_checkpoint(tmp_path / "model.safetensors", Model(make_net().eval()))
    (tmp_path / "points.csv").write_text("x,y,reference\n600100,5099000,1\n")
    shutil.copy(tmp_path / "plain.vrt", tmp_path / "plain.tif")
    lines = [c.replace("{}", n) for c in COMMANDS for n in ("plain.tif", *RASTERS, *VECTORS)]
    ran = subprocess.run(
        [sys.executable, "-c", RUN],
        input="\n".join(lines),
        env=os.environ | {"no_proxy": "127.0.0.1", "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Traceback" not in ran.stderr
    codes = [line.partition(" ") for line in ran.stdout.splitlines() if line[:2] in ("1 ", "2 ")]
    assert sorted(set(lines) - {line for _, _, line in codes}) == []
    assert asked == set()
