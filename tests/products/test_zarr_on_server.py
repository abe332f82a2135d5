"""EOPF Zarr on a server: the pixels and the map of the local store, or one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from made_product import make_product, random_bands
from made_server import Server, serving
from made_zarr import write_zarr

from geolulc.cli import cli
from geolulc.errors import GeolulcError, ParameterError, ProductError, RemoteError
from geolulc.products import list_products, open_scene
from geolulc.products.eopf import describe_eopf_product, open_eopf
from geolulc.remote.client import Client

B02 = "/s/x.zarr/measurements/reflectance/r10m/b02"


@pytest.fixture(scope="module")
def safe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_product(tmp_path_factory.mktemp("safe"), random_bands(), baseline="05.10")


@pytest.fixture(scope="module")
def twins(safe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Of version 2 with one file of metadata, of version 3 with many."""
    folder = tmp_path_factory.mktemp("twins")
    return {
        version: write_zarr(
            safe, folder / f"{version}.zarr", version=version, consolidated=version == 2
        )
        for version in (2, 3)
    }


@pytest.fixture
def server(twins: dict[int, Path]) -> Iterator[Server]:
    with serving() as started:
        put(started, twins[2])
        yield started


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(allow_internal=True, timeouts=(5.0, 0.5), backoff=0.01) as made:
        yield made


def put(server: Server, store: Path) -> None:
    for file in store.rglob("*"):
        if file.is_file():
            server.files[f"/s/x.zarr/{file.relative_to(store).as_posix()}"] = file.read_bytes()


def pixels(scene, name: str) -> np.ndarray:
    with scene.opened([name]) as images:
        image = images[name]
        found = np.full(image.tiling.shape, 99, image.dtype)
        for row in range(image.tiling.counts[0]):
            for column in range(image.tiling.counts[1]):
                image.read(row, column, found[image.tiling.rows(row), image.tiling.columns(column)])
    return found


@pytest.mark.parametrize("version", [2, 3])
def test_every_pixel_of_the_local_store(version, twins, client):
    with serving() as server:
        put(server, twins[version])
        there = open_eopf(f"{server.url}/s/x.zarr", client=client)
        here = open_scene(twins[version])
        assert (there.name, there.grid, there.offsets) == (here.name, here.grid, here.offsets)
        assert dict(there.facts) == dict(here.facts)
        asked = len(server.asked)
        for name in ("B02", "B05", "B01"):
            assert np.array_equal(pixels(there, name), pixels(here, name))
        chunks = sum(np.prod(here.images[name].tiling.counts) for name in ("B02", "B05", "B01"))
        assert len(server.asked) - asked == chunks  # only these, each once
        described = describe_eopf_product(there, Path("x.zarr"), verify=True)
        assert described["chunks_verified"] > chunks
    assert there.received > 0


def test_the_map_is_that_of_the_local_store(server, twins, tmp_path):
    maps = []
    for scene, options in ((twins[2], []), (f"{server.url}/s/x.zarr", ["--allow-internal"])):
        out = tmp_path / f"{len(maps)}" / "map.tif"
        out.parent.mkdir()
        run = CliRunner().invoke(
            cli, ["map", str(scene), "--out", str(out), "--outputs", "probabilities", "-q",
                  "--json", "--stride", "600", "--min-clear", "0", *options],
            catch_exceptions=False,
        )  # fmt: skip
        maps.append((out.read_bytes(), json.loads(run.stdout)[0].get("bytes_received")))
    assert maps[0][0] == maps[1][0]
    stored = sum(len(data) for name, data in server.files.items() if "/r10m/b" in name)
    assert maps[0][1] is None
    assert maps[1][1] > stored


def test_what_the_server_does_not_have_is_no_data(server, safe, client):
    del server.files[f"{B02}/1.2"]
    expected = pixels(open_scene(safe), "B02")
    expected[70:140, 140:210] = 0
    scene = open_eopf(f"{server.url}/s/x.zarr", client=client)
    assert np.array_equal(pixels(scene, "B02"), expected)


@pytest.mark.parametrize("fault", [500, 503, 429, "cut", "drop", "stall"])
def test_faults_that_pass(fault, server, safe, client):
    server.faults[f"{B02}/0.1"] = [fault]
    server.faults["/s/x.zarr/.zmetadata"] = [fault]
    scene = open_eopf(f"{server.url}/s/x.zarr", client=client)
    assert np.array_equal(pixels(scene, "B02"), pixels(open_scene(safe), "B02"))


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (500, "500 Internal Server Error"),
        (403, "403 Forbidden"),
        ("garbage", "not HTTP"),
        ("drop", "breaks off"),
    ],
)
def test_faults_that_stay_are_no_missing_chunks(fault, found, server, client):
    scene = open_eopf(f"{server.url}/s/x.zarr?sig=SECRET", client=client)
    assert {tuple(request.query["sig"]) for request in server.asked} == {("SECRET",)}
    server.faults[f"{B02}/0.1"] = [fault] * 50
    with pytest.raises(RemoteError) as error:
        pixels(scene, "B02")
    assert found in str(error.value)
    assert f"{B02}/0.1" in str(error.value)
    assert "SECRET" not in str(error.value)


def test_a_chunk_that_is_too_large_or_damaged(server, client):
    scene = open_eopf(f"{server.url}/s/x.zarr", client=client)
    server.files[f"{B02}/0.0"] = bytes(200_000)
    with pytest.raises(RemoteError, match="more than"):
        pixels(scene, "B02")
    server.files[f"{B02}/0.0"] = b"<html>"
    with pytest.raises(ProductError, match="damaged"):
        pixels(scene, "B02")


def test_an_item_that_names_a_store(server, safe, tmp_path):
    """As the catalogue of EOPF has them: no images, but the product."""
    item = {
        "type": "Feature",
        "id": safe.stem,
        "properties": {},
        "assets": {
            "SR_10m": {"href": f"{server.url}/s/x.zarr/measurements/reflectance/r10m"},
            "product": {"href": f"{server.url}/s/x.zarr"},
        },
    }
    server.files["/item.json"] = json.dumps(item).encode()
    path = tmp_path / "item.json"
    path.write_text(json.dumps(item))
    assert list_products([path]) == [path]
    for place in (path, f"{server.url}/item.json"):
        scene = open_scene(place, allow_internal=True)
        assert (scene.name, scene.received > 0) == (safe.stem, True)
        with pytest.raises(RemoteError, match="internal address"):
            open_scene(place)
        with pytest.raises(ParameterError, match="says its own"):
            open_scene(place, allow_internal=True, offset=0)
    item["assets"] = {"product": {"href": "file:///somewhere/x.zarr"}}
    server.files["/item.json"] = json.dumps(item).encode()
    with pytest.raises(ProductError, match="the href file:"):
        open_scene(f"{server.url}/item.json", allow_internal=True)


def test_what_is_refused(server):
    def refused(place: str, internal: bool = True) -> str:
        with pytest.raises(GeolulcError) as error:
            open_scene(f"{server.url}/{place}", allow_internal=internal)
        return str(error.value)

    assert "found a zip on a server" in refused("s/x.zarr.zip")
    assert "found none of zarr.json" in refused("other.zarr")
    assert "internal address" in refused("s/x.zarr", internal=False)
