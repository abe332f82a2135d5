"""A map in a browser: tiles show the map's own classes, and only this machine can ask."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from written_map import KINDS, WrittenMap, write_made

from geolulc.analysis import open_main
from geolulc.analysis.tiles import SIDE, MapTiles
from geolulc.analysis.viewer import served_map
from geolulc.cli import cli
from geolulc.errors import OutputError


def colors_of(made: WrittenMap) -> np.ndarray:
    """uint8 (rows, columns, 4): the colour of each cell of a map."""
    header = made.header
    found = np.zeros((*made.codes.shape, 4), np.uint8)
    for each in header.land_cover:
        found[made.codes == each.code] = (*bytes.fromhex(each.color[1:]), 255)
    return found


def get(address: str, host: str | None = None) -> bytes:
    request = urllib.request.Request(address, headers={"Host": host} if host else {})  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return answer.read()


@pytest.mark.parametrize("kind", KINDS)
def test_the_finest_tiles_are_the_map(kind: str, tmp_path: Path) -> None:
    made = write_made(kind, tmp_path / "map.tif")
    expected = colors_of(made)
    with open_main(made.path) as main:
        tiles = MapTiles(main)
        rows, columns = main.header.grid.shape
        for row in range(-(-rows // SIDE)):
            for column in range(-(-columns // SIDE)):
                tile = np.asarray(Image.open(io.BytesIO(tiles.draw(0, row, column))))
                part = expected[row * SIDE :, column * SIDE :][:SIDE, :SIDE]
                assert (tile[: part.shape[0], : part.shape[1]] == part).all()
                assert not tile[part.shape[0] :].any()
                assert not tile[:, part.shape[1] :].any()
        coarsest = Image.open(io.BytesIO(tiles.draw(tiles.levels - 1, 0, 0)))
        assert coarsest.size == (SIDE, SIDE)
        for wrong in ((0, rows, 0), (tiles.levels, 0, 0), (0, 0, columns)):
            with pytest.raises(IndexError):
                tiles.draw(*wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_says_what_the_map_says(kind: str, tmp_path: Path) -> None:
    made = write_made(kind, tmp_path / "map.tif")
    with open_main(made.path) as main:
        tiles = MapTiles(main)
        for row, column in ((0, 0), tuple(np.argwhere(made.mapped)[0])):
            found = tiles.at(int(row), int(column))
            k = made.index[row, column]
            assert found["class"] == (None if k < 0 else made.header.classes[k])
            if k >= 0 and kind == "cells":
                likeliest = max(found["probabilities"].values())
                assert likeliest == pytest.approx(made.probabilities[k, row, column], abs=0.001)
        with pytest.raises(IndexError):
            tiles.at(-1, 0)


def test_what_is_no_map_is_told(tmp_path: Path) -> None:
    (tmp_path / "map.tif").write_text("no map")
    with pytest.raises(OutputError, match="a map"), served_map(tmp_path / "map.tif"):
        pass


def test_the_server_answers_this_machine_alone(tmp_path: Path) -> None:
    made = write_made("pixels", tmp_path / "map.tif")
    with served_map(made.path) as address:
        assert b"<canvas" in get(address)
        described = json.loads(get(address + "map.json"))
        assert [c["name"] for c in described["classes"]] == list(made.header.classes)
        assert json.loads(get(address + "at/0/0")).keys() == {"class", "probabilities"}
        for path, host, code in (
            ("", "evil.example", 403),
            ("map.json", "evil.example:80", 403),
            ("at/999999999/0", None, 404),
            ("tile/0/0/99999.png", None, 404),
            ("tile/99/0/0.png", None, 404),
            ("../etc/passwd", None, 404),
        ):
            with pytest.raises(urllib.error.HTTPError) as caught:
                get(address + path, host)
            assert caught.value.code == code
            caught.value.close()
        port = address.rstrip("/").rpartition(":")[2]
        told = pytest.raises(OutputError, match=f"port {port}: found Address already in use")
        with told, served_map(made.path, port=int(port)):
            pass
    with pytest.raises(urllib.error.URLError):
        get(address)


def test_a_report_is_opened(tmp_path: Path) -> None:
    made = write_made("cells", tmp_path / "map.tif")
    made.path.with_suffix(".html").write_text("report")
    result = CliRunner().invoke(cli, ["view", str(made.path), "--no-browser"])
    assert result.exit_code == 0
    assert result.output.strip() == str(made.path.with_suffix(".html"))


def test_the_command_serves_until_ctrl_c(tmp_path: Path) -> None:
    made = write_made("cells", tmp_path / "map.tif")
    serving = subprocess.Popen(
        [sys.executable, "-m", "geolulc", "view", str(made.path), "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert serving.stdout is not None
    address = serving.stdout.readline().strip()
    assert b"<canvas" in get(address)
    serving.send_signal(signal.SIGINT)
    _, said = serving.communicate()
    assert serving.returncode == 130
    assert said == "geolulc: stopped\n"


def test_a_browser_draws_it(tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium: install it (Debian: apt-get install chromium) to test the page")
    made = write_made("pixels", tmp_path / "map.tif")
    picture = tmp_path / "seen.png"
    with served_map(made.path) as address:
        subprocess.run(
            [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1000,700",
             f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000",
             f"--screenshot={picture}", address],
            check=True, capture_output=True,
        )  # fmt: skip
    seen = np.asarray(Image.open(picture).convert("RGB"))[:, :660].reshape(-1, 3)
    shown = {tuple(color) for color in np.unique(seen, axis=0)}
    mapped = {tuple(color[:3]) for color in np.unique(colors_of(made)[made.mapped], axis=0)}
    assert mapped <= shown
