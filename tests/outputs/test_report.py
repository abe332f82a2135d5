"""The report in a real browser: what it draws, that its controls work, that it asks for nothing."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from made_map import BACKDROP, made_map, save_map
from made_pixel_map import TILE as PIXEL_TILE
from made_pixel_map import made_header, made_pixels
from numpy.typing import NDArray
from PIL import Image

from geolulc.domain import TrainingDomain
from geolulc.grid import TileGrid
from geolulc.maps.encoding import FULL
from geolulc.maps.header import LandCoverMap, MapBlock
from geolulc.maps.ranking import rank_classes
from geolulc.maps.tally import Tally
from geolulc.nomenclature import BEN19
from geolulc.outputs import SceneStory
from geolulc.outputs.cautions import cautions

MODEL = {
    "name": "early <b>resnet18</b>",
    "sha256": "ab" * 32,
    "path": "model.safetensors",
    "bytes": 7,
    "fusion": "early",
    "backbone": "resnet18",
    "parameters": 11_220_000,
    "patch_size": 1200,
    "temperature": 1.25,
    "provenance": {
        "made_by": "geolulc 0.1.0",
        "train_patches": 50,
        "train_positives": dict.fromkeys(BEN19.names, 3) | {"Coastal wetlands": 0},
        "validation": {"ap_micro": 0.75},
    },
}

# before anything else runs: what goes wrong is collected
LISTEN = """<script>
const problems = [];
addEventListener("error", (e) => problems.push(e.message || "resource"), true);
addEventListener("securitypolicyviolation", (e) => problems.push("policy " + e.blockedURI));
for (const level of ["error", "warn"]) console[level] = (...a) => problems.push(a.join(" "));
</script>"""

# afterwards: a user's doings, and what is seen then
USE = """<script>
const $ = (id) => document.getElementById(id);
const canvas = $("cells"), select = $("layer");
const pixels = () => Array.from(canvas.getContext("2d")
  .getImageData(0, 0, canvas.width, canvas.height).data);
const choose = (value) => { select.value = value; select.dispatchEvent(new Event("change")); };
const found = { dominant: pixels(), legend: $("legend").innerText, title: document.title };
const root = document.documentElement;
found.hidden = root.scrollWidth - root.clientWidth;
found.layers = [...select.options].map((o) => o.value);
$("legend").querySelector("input[value='8']").click();
found.without = pixels();
choose("class-10");
choose("dominant");
found.stillWithout = pixels();
choose("class-10");
found.probability = pixels();
found.ramp = $("legend").innerText;
choose("entropy");
found.entropy = pixels();
$("opacity").value = 30;
$("opacity").dispatchEvent(new Event("input"));
found.opacity = getComputedStyle(canvas).opacity;
found.backdropBefore = getComputedStyle($("backdrop")).display;
$("backdrop-on").click();
found.backdropAfter = getComputedStyle($("backdrop")).display;
document.querySelector('button[data-layer="class-3"]').click();
found.clicked = select.value;
const box = canvas.getBoundingClientRect();
const move = (column, row) => $("stage").dispatchEvent(new PointerEvent("pointermove", {
  clientX: box.left + (column + 0.5) * box.width / canvas.width,
  clientY: box.top + (row + 0.5) * box.height / canvas.height,
}));
move(2, 1);
found.readout = $("readout").innerText;
move(0, 0);
found.nothing = $("readout").innerText;
found.stage = [$("stage").clientWidth, $("stage").clientHeight, box.width, box.height];
found.requests = performance.getEntriesByType("resource").map((e) => e.name.slice(0, 30));
found.problems = problems;
const out = document.createElement("pre");
out.id = "found";
out.textContent = JSON.stringify(found);
document.body.replaceChildren(out);
</script>"""


@pytest.fixture(scope="module")
def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("no Chromium: install it (Debian: apt-get install chromium) to test the report")


def browse(chromium: str, page: Path) -> dict[str, Any]:
    """Open ``page`` headless, use it, and return what was found."""
    text = page.read_text(encoding="utf-8")
    text = text.replace("<title>", LISTEN + "<title>", 1).replace("</body>", USE + "</body>", 1)
    used = page.with_name("used.html")
    used.write_text(text, encoding="utf-8")
    run = subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            f"--user-data-dir={page.parent / 'profile'}",
            "--window-size=1280,1600",
            "--virtual-time-budget=10000",
            "--dump-dom",
            used.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    match = re.search(r'<pre id="found">(.*?)</pre>', run.stdout, re.DOTALL)
    assert match, run.stdout[-2000:] + run.stderr[-2000:]
    parser = HTMLParser()
    parts: list[str] = []
    parser.handle_data = parts.append  # type: ignore[method-assign]
    parser.feed(match[1])
    return dict(json.loads("".join(parts)))


def dominant_codes(made: LandCoverMap) -> NDArray[np.uint8]:
    return rank_classes(made.block.probabilities, 1).dominant(made.header)


def with_hole() -> LandCoverMap:
    p = made_map(nodata=0).block.probabilities.copy()
    p[:, 0, 0] = np.nan
    return made_map(nodata=0, probabilities=p)


def test_the_report_works_in_a_browser(chromium: str, tmp_path: Path) -> None:
    made = with_hole()
    story = SceneStory(MODEL, backdrop=BACKDROP)
    paths = save_map(made, tmp_path / "map.tif", "report", story=story)
    found = browse(chromium, paths["report"])
    assert found["problems"] == []
    assert [r for r in found["requests"] if not r.startswith("data:")] == []
    assert found["title"] == f"Land cover: {made.header.scene['name']}"
    assert found["layers"] == [
        "dominant",
        *(f"class-{c.code}" for c in BEN19.classes),
        "entropy",
        "margin",
    ]
    # every cell in its class's colour, nodata transparent
    shown = np.array(found["dominant"]).reshape(*made.header.grid.shape, 4)
    colors = {c.code: (*c.rgb, 255) for c in BEN19.classes} | {0: (0, 0, 0, 0)}
    expected = np.array([[colors[c] for c in row] for row in dominant_codes(made).tolist()])
    np.testing.assert_array_equal(shown, expected)
    there = {c.name for c in BEN19.classes if c.code in dominant_codes(made)}
    assert BEN19.classes[7].name in there
    assert set(found["legend"].splitlines()) == there
    # a class switched off, which stays off
    expected[dominant_codes(made) == 8] = 0
    for later in ("without", "stillWithout"):
        np.testing.assert_array_equal(np.array(found[later]).reshape(expected.shape), expected)
    # one colour a probability, more of it brighter (viridis)
    p = made.block.probabilities[9]
    shown = np.array(found["probability"]).reshape(*made.header.grid.shape, 4)
    assert shown[0, 0].tolist() == [0, 0, 0, 0]
    order = np.argsort(p[np.isfinite(p)])
    green = shown[..., 1][np.isfinite(p)][order]
    assert (np.diff(green) >= 0).all()
    assert found["ramp"].split() == ["0", "%", "100", "%"]
    assert found["entropy"] != found["probability"]
    assert float(found["opacity"]) == pytest.approx(0.3)
    assert (found["backdropBefore"], found["backdropAfter"]) == ("block", "none")
    assert found["clicked"] == "class-3"
    # the cell under the pointer
    order = np.argsort(-made.block.probabilities[:, 1, 2])
    for i in order[:5]:
        assert made.header.classes[i] in found["readout"]
        assert (
            f"{round(float(made.block.probabilities[i, 1, 2]) * 250) / 2.5:.1f} %"
            in found["readout"]
        )
    assert "x 603000, y 5098200" in found["readout"]
    assert "No data" in found["nothing"]
    # cells reach beyond the tile: half a cell of them is cut off
    width, height, drawn_width, drawn_height = found["stage"]
    assert width / height == pytest.approx(6600 / 5400, rel=0.01)
    assert drawn_width / width == pytest.approx(7200 / 6600, rel=0.01)
    assert drawn_height / height == pytest.approx(6000 / 5400, rel=0.01)


@pytest.mark.parametrize("between", [" ", ""])
def test_long_names_of_classes_wrap(chromium: str, tmp_path: Path, between: str) -> None:
    classes = tuple(
        replace(c, name=between.join([*["undergrowth"] * 17, str(c.code)]), short="")
        for c in BEN19.classes
    )
    made = made_map(
        nodata=0,
        classes=tuple(c.name for c in classes),
        nomenclature=replace(BEN19, classes=classes),
    )
    story = SceneStory(MODEL, backdrop=BACKDROP)
    paths = save_map(made, tmp_path / "map.tif", "report", "picture", story=story)
    found = browse(chromium, paths["report"])
    assert found["problems"] == []
    assert found["hidden"] == 0
    with Image.open(paths["picture"]) as picture:
        margin = np.asarray(picture.convert("L"))[:, -5:]
    assert (margin == 255).all()


def test_a_hostile_name_stays_text(chromium: str, tmp_path: Path) -> None:
    name = "</script><script>document.title='stolen'</script><img src=x onerror=alert(1)>"
    scene = {**made_map().header.scene, "name": name}
    model = {**MODEL, "name": name, "provenance": {"train_patches": 1, name: {name: name}}}
    made = made_map(nodata=0, scene=scene)
    story = SceneStory(model, backdrop=BACKDROP)
    paths = save_map(made, tmp_path / "map.tif", "report", story=story)
    assert name not in paths["report"].read_text()
    found = browse(chromium, paths["report"])
    assert found["problems"] == []
    assert found["title"] == f"Land cover: {name}"


def test_a_fine_map_is_shown_in_part(chromium: str, tmp_path: Path) -> None:
    tile = TileGrid("EPSG:32632", 600_000.0, 5_100_000.0, 48_000, 6_000)
    made = made_map(tile, stride=120, nodata=0)  # 400 columns
    paths = save_map(made, tmp_path / "map.tif", "report", story=SceneStory(backdrop=BACKDROP))
    found = browse(chromium, paths["report"])
    assert found["problems"] == []
    shown = np.array(found["dominant"]).reshape(25, 200, 4)[..., :3]
    codes = dominant_codes(made)[1::2, 1::2]
    rgb = {c.code: c.rgb for c in BEN19.classes}
    np.testing.assert_array_equal(
        shown, np.array([[rgb[c] for c in row] for row in codes.tolist()])
    )


def test_the_page_is_complete_in_itself(tmp_path: Path) -> None:
    paths = save_map(made_map(), tmp_path / "map.tif", "report", "classes", story=SceneStory(MODEL))
    page = paths["report"].read_text()
    assert not re.search(r"https?://|//cdn|<link|@import|url\(", page)
    page = re.sub("<!-- /?estimates -->", "", page)  # the place of estimates
    assert not re.search(r"<!--|\{[{%#]", page)
    assert "early &lt;b&gt;resnet18&lt;/b&gt;" in page
    assert "trained on 50 patches only" in page
    assert "map_classes.tif" in page
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    p = np.frombuffer(base64.b64decode(data["classes"][4]["p"]), np.uint8).reshape(5, 6)
    true = made_map().block.probabilities[4]
    np.testing.assert_array_equal(p == 255, np.isnan(true))
    assert np.nanmax(np.abs(np.where(p == 255, np.nan, p / 250) - true)) <= 0.002 + 1e-6


def said_of(made: LandCoverMap, model: dict[str, Any] | None) -> list[str]:
    """The cautions of a map in memory."""
    tally = Tally(made.header)
    tally.add(made.block, rank_classes(made.block.probabilities))
    return [caution.text for caution in cautions(made.header, tally.figures, model)]


def test_cautions_are_those_that_apply() -> None:
    home = TrainingDomain(200_000, {"Austria": 200_000}, {6: 200_000}, ((10, 46, 200_000),))
    good = {
        "provenance": {"train_patches": 200_000, "train_positives": {}},
        "domain": home.as_mapping(),
    }
    p = made_map(nodata=0).block.probabilities
    p = np.where(p > 0.5, 0.99, 0.01).astype(np.float32)
    assert said_of(made_map(nodata=0, probabilities=p), good)[0].endswith("is guessed.")
    assert said_of(made_map(nodata=0, clear=False, probabilities=p), good) == [
        "Clouds are unknown: the scene classification was not used or is absent."
    ]
    fine = made_map(nodata=0, probabilities=p)
    fine = replace(fine, block=replace(fine.block, clear=np.ones((5, 6), np.float32)))
    assert said_of(fine, good) == []
    assert said_of(fine, None) == ["How the model was trained is not known."]
    assert said_of(fine, {"provenance": {"trained_on": "24,000 tiles"}}) == [
        "Others trained the model, on 24,000 tiles: how good it is here is not known."
    ]
    assert said_of(fine, MODEL) == [
        "Where and when the model learned is not recorded.",
        "The model was trained on 50 patches only, where BigEarthNet has some 270,000: expect "
        "errors, more so far from where these lie.",
        "The model saw no example of: Coastal wetlands.",
    ]
    student = {"provenance": {**good["provenance"], "train_patches": 315}, "domain": good["domain"]}
    student["provenance"]["teacher"] = {"name": "dynamic\x1b[31mworld"}
    assert said_of(fine, student) == [
        "The model imitates dynamic [31mworld, errors included, as seen on 315 patches: expect "
        "errors, more so far from where these lie."
    ]
    assert said_of(made_map(nodata=1.0), good)[0] == "No cell of this map has data."
    unsure = made_map(nodata=0, probabilities=np.full_like(p, 0.5))
    assert (
        "The model is unsure: the mean entropy is 1.00 bit a class, and 1 would be a coin's toss."
        in said_of(unsure, good)
    )


def pixel_report(folder: Path, pixels: NDArray[np.uint8]) -> Path:
    """The report of a map of pixels: 600 × 720 of them, every third shown."""
    backdrop = np.full((60, 72, 3), 90, np.uint8), Affine(100, 0, PIXEL_TILE.left, 0, -100, 0)
    made = LandCoverMap(made_header(), MapBlock(0, 0, pixels))
    story = SceneStory(MODEL, backdrop=backdrop)
    return save_map(made, folder / "map.tif", "classes", "report", story=story)["report"]


def test_the_report_of_pixels_speaks_of_pixels(tmp_path: Path) -> None:
    page = pixel_report(tmp_path, made_pixels(made_header())).read_text()
    text = re.sub(r"<style>.*?</style>|<script.*?</script>|<[^>]*>", " ", page, flags=re.DOTALL)
    assert not re.search(r"\bcells?\b", text, re.IGNORECASE)
    assert "Pixel under the pointer" in text
    assert "of the pixels have no data: none in the scene" in text
    assert "they add up to the map" in text
    assert "taken once every 1,200 m" in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert (data["rows"], data["columns"], data["step"], data["cell"]) == (200, 240, 3, 30)
    assert (data["exclusive"], data["unit"]) == (True, "pixel")


def test_the_report_of_cells_speaks_of_cells(tmp_path: Path) -> None:
    page = save_map(made_map(), tmp_path / "map.tif", "report")["report"].read_text()
    text = re.sub(r"<style>.*?</style>|<script.*?</script>|<[^>]*>", " ", page, flags=re.DOTALL)
    assert not re.search(r"\bpixels\b(?<!valid pixels)", text, re.IGNORECASE)
    assert "Cell under the pointer" in text
    assert "Cells where present" in text
    assert "5 × 6 of 1200 m, patches of 1200 m" in text
    assert "several classes can share a cell" in text
    assert "cells cut to the tile" in text


def test_the_report_of_pixels_works_in_a_browser(chromium: str, tmp_path: Path) -> None:
    found = browse(chromium, pixel_report(tmp_path, made_pixels(made_header(), nodata=False)))
    assert found["problems"] == []
    # what excludes another has no threshold to reach
    assert "✓" not in found["readout"]
    shown = [float(share) for share in re.findall(r"([\d.]+) %", found["readout"])]
    assert shown == sorted(shown, reverse=True)
    assert 0 < sum(shown) <= 102


def test_a_model_that_knows_nothing_of_a_pixel_is_unsure(tmp_path: Path) -> None:
    alike = np.full((19, 600, 720), round(FULL / 19), np.uint8)
    page = pixel_report(tmp_path, alike).read_text()
    assert "The model is unsure: the mean entropy is 0.99 of the highest possible." in page
