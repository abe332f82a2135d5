"""Labels of users on made scenes: which pixels get which class, and what is said of the others."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from made_product import make_product, position_bands, position_dn
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.transform import from_origin
from scipy.spatial import KDTree
from shapely.geometry import LineString, Point, Polygon, box

from geolulc.bands import GROUPS
from geolulc.cli import cli
from geolulc.datasets import UNLABELLED, Store, open_store
from geolulc.errors import DatasetError, OutputError, ParameterError, ProductError
from geolulc.labelling import LabelOptions, label_scenes, open_reference, read_features
from geolulc.labelling.colors import distinct_colors
from geolulc.labelling.folds import NO_FOLD, deal
from geolulc.nomenclature import nomenclature
from geolulc.products import array_scene
from geolulc.products.array_scene import ArrayScene

#: Metres a side of the scene: two patches and a half.
SIZE, LEFT, TOP = 3000, 600_000, 5_200_020
UTM = "EPSG:32632"
FINE = LabelOptions(block_size=300)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product whose digital numbers say where they are, with an offset of -1000."""
    scl = np.full((SIZE // 20, SIZE // 20), 4, np.uint8)
    scl[:15, :15] = 9  # the first 300 m are under a cloud
    return make_product(
        tmp_path_factory.mktemp("scene"), position_bands(SIZE, SIZE), offset=-1000, scl=scl
    )


def square(row: int, column: int, pixels: int = 20) -> Polygon:
    """A square of pixels of 10 m from ``row`` and ``column`` on."""
    left, top = LEFT + 10 * column, TOP - 10 * row
    return box(left, top - 10 * pixels, left + 10 * pixels, top)


def write(path: Path, shapes: Sequence[Any], crs: str = "EPSG:4326", **columns: Any) -> Path:
    frame = geopandas.GeoDataFrame(columns, geometry=list(shapes), crs=UTM).to_crs(crs)
    frame.to_file(path)
    return path


def many(path: Path, **columns: Any) -> tuple[Path, list[Polygon]]:
    """Thirty-six fields all over the scene, of two classes, and where they are."""
    shapes = [square(12 + 48 * r, 5 + 48 * c, 30) for r in range(6) for c in range(6)]
    names = ["Wheat" if i % 3 else "Forêt" for i in range(36)]
    return write(path, shapes, crop=names, **columns), shapes


def codes_of(store: Store, scenes: int = 1) -> NDArray[np.uint16]:
    """The labels of all patches on one raster; each pixel is labelled once."""
    side = SIZE // 10
    whole = np.full((side, side), UNLABELLED, np.uint16)
    times = np.zeros((side, side), int)
    for index in range(len(store)):
        patch = store.read(index)
        row, column = round((TOP - patch.top) / 10), round((patch.left - LEFT) / 10)
        here = whole[row : row + 120, column : column + 120]
        known = patch.reference != UNLABELLED
        here[known] = patch.reference[known]
        times[row : row + 120, column : column + 120] += known
    assert times.max() <= scenes
    return whole


def burnt(shapes: Sequence[Any], codes: Sequence[int]) -> NDArray[np.uint16]:
    """Codes of the pixels whose centre lies in a shape, with shapely alone."""
    x, y = np.meshgrid(LEFT + 10 * np.arange(SIZE // 10) + 5, TOP - 10 * np.arange(SIZE // 10) - 5)
    found = np.full(x.shape, UNLABELLED, np.uint16)
    for shape, code in zip(shapes, codes, strict=True):
        found[shapely.contains_xy(shape, x, y)] = code
    return found


def label(
    path: Path, scene: Path, out: Path, options: LabelOptions = FINE, **reading: Any
) -> Store:
    labels = read_features(path, "crop", options, **reading)
    label_scenes([scene], labels, out, options)
    return open_store(out)


def test_each_pixel_has_the_class_of_its_field(scene: Path, tmp_path: Path) -> None:
    path, shapes = many(tmp_path / "fields.gpkg")
    store = label(path, scene, tmp_path / "s", replace(FINE, mask_scl=()))
    assert store.nomenclature.names == ("Forêt", "Wheat")
    expected = burnt(shapes, [2 if i % 3 else 1 for i in range(36)])
    found = codes_of(store)
    # brought to degrees and back, borders through pixel centres would be off: there are none
    np.testing.assert_array_equal(found, expected)
    counts = store.manifest["labelling"]["pixels"]
    total = Counter[str]()
    for of_split in counts.values():
        total.update(of_split)
    assert total == {"Forêt": 12 * 900, "Wheat": 24 * 900}
    assert not store.manifest["labelling"]["pixels_without_label"]


def test_pixels_are_those_of_the_scene(scene: Path, tmp_path: Path) -> None:
    path, _ = many(tmp_path / "fields.gpkg")
    store = label(path, scene, tmp_path / "s")
    assert store.column("left").count(LEFT + 1800) > 0  # the last patches were moved inside
    for index in (0, len(store) // 2, -1):
        patch = store.read(index)
        for resolution, names in GROUPS.items():
            row, column = (round(d / resolution) for d in (TOP - patch.top, patch.left - LEFT))
            for name, pixels in zip(names, patch.dn[resolution], strict=True):
                assert pixels[3, 4] == position_dn(name, row + 3, column + 4) - 1000
        assert patch.date == "2024-06-25T10:10:31.024000+00:00"[: len(patch.date)]
        assert patch.tile == "32TPS"
        assert patch.season == "Summer"
    assert store.level == "L2A"


def test_fields_are_never_on_both_sides(scene: Path, tmp_path: Path) -> None:
    path, shapes = many(tmp_path / "fields.gpkg", farm=[f"farm {i % 7}" for i in range(36)])
    for options, groups in (
        (FINE, list(range(36))),
        (replace(FINE, split_by="farm"), [i % 7 for i in range(36)]),
    ):
        out = tmp_path / options.split_by
        store = label(path, scene, out, options)
        side = SIZE // 10
        folds = np.full((side, side), -1)
        for index, fold in enumerate(store.column("fold")):
            patch = store.read(index)
            row, column = round((TOP - patch.top) / 10), round((patch.left - LEFT) / 10)
            known = patch.reference != UNLABELLED
            folds[row : row + 120, column : column + 120][known] = fold
            expected = ("test", "val", "train", "train", "train")[fold]
            assert store.splits[index] == expected
        of_group: dict[int, set[int]] = {}
        for shape, group in zip(shapes, groups, strict=True):
            own = folds[burnt([shape], [1]) == 1]
            of_group.setdefault(group, set()).update(own[own >= 0].tolist())
        assert all(len(found) <= 1 for found in of_group.values())
        sizes = Counter(fold for found in of_group.values() for fold in found)
        assert set(sizes) == set(range(5))
        for split in ("train", "val", "test"):
            assert set(store.manifest["labelling"]["pixels"][split]) == {"Forêt", "Wheat"}


def test_dates_of_one_ground_are_in_one_fold(tmp_path: Path) -> None:
    bands = position_bands(SIZE, SIZE)
    scenes = [
        make_product(tmp_path / day, bands, sensing=f"2024-0{day}-01T10:00:00") for day in "57"
    ]
    path, _ = many(tmp_path / "fields.gpkg")
    for split_by in ("blocks", "tile"):
        options = replace(FINE, split_by=split_by)
        labels = read_features(path, "crop", options)
        if split_by == "tile":
            with pytest.raises(DatasetError, match="1 places to split them by"):
                label_scenes(scenes, labels, tmp_path / split_by, options)
            continue
        label_scenes(scenes, labels, tmp_path / split_by, options)
        store = open_store(tmp_path / split_by)
        codes_of(store, scenes=2)
        fold_of: dict[tuple[float, float], set[int]] = {}
        for place in zip(*(store.column(n) for n in ("left", "top", "fold")), strict=True):
            fold_of.setdefault(place[:2], set()).add(place[2])
        by_date = Counter(store.column("date"))
        assert len(by_date) == 2
        assert len(set(by_date.values())) == 1


@pytest.mark.parametrize(
    ("overlaps", "expected"), [("ignore", UNLABELLED), ("first", 2), ("last", 1)]
)
def test_what_several_claim_is_counted(
    overlaps: str, expected: int, scene: Path, tmp_path: Path
) -> None:
    path, shapes = many(tmp_path / "fields.gpkg")
    frame = geopandas.read_file(path)
    first, second = square(40, 100, 60), square(70, 100, 60)  # 30 × 60 pixels of both
    both = write(tmp_path / "both.gpkg", [first, second], crop=["Wheat", "Forêt"])
    frame = frame[~frame.to_crs(UTM).intersects(first.union(second))]
    names = [*geopandas.read_file(both).crop, *frame.crop]
    path = write(tmp_path / "all.gpkg", [first, second, *frame.to_crs(UTM).geometry], crop=names)
    store = label(path, scene, tmp_path / "s", replace(FINE, overlaps=overlaps))
    assert (codes_of(store)[71:99, 101:159] == expected).all()
    lost = store.manifest["labelling"]["pixels_without_label"].get("contested", 0)
    assert lost == (30 * 60 if overlaps == "ignore" else 0)
    assert len(shapes) == 36


def test_clouds_hide_labels(scene: Path, tmp_path: Path) -> None:
    path, shapes = many(tmp_path / "fields.gpkg")
    store = label(path, scene, tmp_path / "s")
    expected = burnt(shapes, [2 if i % 3 else 1 for i in range(36)])
    hidden = int((expected[:30, :30] != UNLABELLED).sum())
    expected[:30, :30] = UNLABELLED
    np.testing.assert_array_equal(codes_of(store), expected)
    lost = store.manifest["labelling"]["pixels_without_label"]
    assert lost == {"under clouds or other masked classes": hidden}


def test_points_label_one_pixel_or_more(scene: Path, tmp_path: Path) -> None:
    places = [(50 + 30 * i, 45 + 13 * j) for i in range(6) for j in range(6)]
    shapes = [Point(LEFT + 10 * c + 5, TOP - 10 * r - 5) for r, c in places]
    path = write(tmp_path / "points.geojson", shapes, crop=[i % 2 for i in range(36)])
    for buffer, count in ((0.0, 1), (15.0, 9)):
        out = tmp_path / f"s{buffer}"
        store = label(path, scene, out, replace(FINE, buffer=buffer), points=True)
        assert [c.code for c in store.nomenclature.classes] == [0, 1]
        codes = codes_of(store)
        assert (codes != UNLABELLED).sum() == count * 36
        assert [codes[r, c] for r, c in places] == [i % 2 for i in range(36)]


def test_features_that_are_no_labels_are_counted(scene: Path, tmp_path: Path) -> None:
    _, shapes = many(tmp_path / "fields.gpkg")
    bow = Polygon([(LEFT + 2005, TOP - 2005), (LEFT + 2095, TOP - 2095),
                   (LEFT + 2095, TOP - 2005), (LEFT + 2005, TOP - 2095)])  # fmt: skip
    tiny = Point(LEFT + 1000, TOP - 1000).buffer(2)
    far = square(0, 5000)
    extra = [bow, tiny, far, square(1, 100, 3), Polygon()]
    names = ["Wheat" if i % 3 else "Forêt" for i in range(36)]
    path = write(
        tmp_path / "f.gpkg", [*shapes, *extra], UTM, crop=[*names, "Wheat", "Wheat", "Wheat", None,
                                                           "Wheat"],
    )  # fmt: skip
    store = label(path, scene, tmp_path / "s")
    found = store.manifest["labelling"]
    assert found["features"] == 41
    assert found["repaired_geometries"] == 1
    assert found["features_left_out"] == {
        "without a geometry": 1,
        "without a class": 1,
        "outside every scene": 1,
        "without a pixel of their own": 1,
    }
    # a bow tie is two triangles
    assert (codes_of(store)[201:209, 201:209] == 2).sum() == pytest.approx(81 / 2, abs=9)


def test_shrunk_fields_lose_their_edges(scene: Path, tmp_path: Path) -> None:
    path, shapes = many(tmp_path / "fields.gpkg")
    options = replace(FINE, buffer=-13.0, mask_scl=())
    store = label(path, scene, tmp_path / "s", options)
    expected = burnt([s.buffer(-13) for s in shapes], [2 if i % 3 else 1 for i in range(36)])
    np.testing.assert_array_equal(codes_of(store), expected)


def test_a_nomenclature_is_followed(scene: Path, tmp_path: Path) -> None:
    _, shapes = many(tmp_path / "fields.gpkg")
    values = ["Cropland", 10.0, "40", "Weeds"]
    path = write(tmp_path / "f.gpkg", shapes, crop=[str(values[i % 4]) for i in range(36)])
    classes = nomenclature("worldcover")
    with pytest.raises(ParameterError, match=r"found '10\.0', 'Weeds'; expected names or codes of"):
        read_features(path, "crop", FINE, nomenclature=classes)
    labels = read_features(path, "crop", FINE, nomenclature=classes, skip_unknown=True)
    label_scenes([scene], labels, tmp_path / "s", FINE)
    store = open_store(tmp_path / "s")
    assert store.nomenclature == classes
    assert set(np.unique(codes_of(store)).tolist()) == {40, UNLABELLED}
    assert store.manifest["labelling"]["features_left_out"] == {"without a class": 18}


def test_classes_in_few_places_are_left_out(scene: Path, tmp_path: Path) -> None:
    _, shapes = many(tmp_path / "fields.gpkg")
    path = write(tmp_path / "f.gpkg", shapes, crop=["Rare"] * 3 + ["Wheat"] * 33)
    store = label(path, scene, tmp_path / "s", replace(FINE, least_places=5, mask_scl=()))
    assert store.manifest["labelling"]["left_out_classes"] == ["Rare"]
    found = codes_of(store)
    assert set(np.unique(found).tolist()) == {store.nomenclature["Wheat"].code, UNLABELLED}
    with pytest.raises(DatasetError, match="no class in 50 places"):
        label(path, scene, tmp_path / "t", replace(FINE, least_places=50))


def test_what_cannot_be_labelled(scene: Path, tmp_path: Path) -> None:
    path, _ = many(tmp_path / "fields.gpkg")
    lines = write(tmp_path / "lines.gpkg", [LineString([(LEFT, TOP), (LEFT + 9, TOP)])], crop=["a"])
    with pytest.raises(ParameterError, match=r"of type LineString; expected polygons.*no area"):
        read_features(lines, "crop", FINE)
    with pytest.raises(ParameterError, match="of type Polygon; expected points"):
        read_features(path, "crop", FINE, points=True)
    with pytest.raises(ParameterError, match="found the columns crop; expected a column 'kind'"):
        read_features(path, "kind", FINE)
    with pytest.raises(ParameterError, match=r"expected a column 'farm'.*--split-by"):
        read_features(path, "crop", replace(FINE, split_by="farm"))
    far = write(tmp_path / "far.gpkg", [square(0, 9000)], crop=["a"])
    with pytest.raises(DatasetError, match="labels: found none on the ground of"):
        label(far, scene, tmp_path / "s")
    with pytest.raises(DatasetError, match="1 places to split them by"):
        label(path, scene, tmp_path / "s", replace(FINE, block_size=100_000))
    level_1c = make_product(tmp_path / "1c", position_bands(SIZE, SIZE), level="L1C")
    labels = read_features(path, "crop", FINE)
    with pytest.raises(ParameterError, match="scenes: found L1C and L2A"):
        label_scenes([scene, level_1c], labels, tmp_path / "s", FINE)
    assert not (tmp_path / "s").exists()
    label_scenes([level_1c], labels, tmp_path / "s", FINE)
    assert open_store(tmp_path / "s").level == "L1C"
    for wrong in ({"folds": 2}, {"overlaps": "both"}, {"block_size": 1}):
        with pytest.raises(ParameterError):
            LabelOptions(**wrong)


class TestReference:
    """A raster of classes as labels."""

    @staticmethod
    def write(path: Path, codes: NDArray[Any], metres: float, crs: str = UTM) -> Path:
        with rasterio.open(
            path, "w", driver="GTiff", height=codes.shape[0], width=codes.shape[1], count=1,
            dtype=codes.dtype, crs=crs, nodata=0, transform=from_origin(LEFT, TOP, metres, metres),
        ) as dataset:  # fmt: skip
            dataset.write(codes, 1)
        return path

    def test_majority_of_finer_pixels(self, scene: Path, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        fine = rng.choice(np.array([10, 40, 50], np.uint8), (SIZE // 2, SIZE // 2))
        fine[:, :600] = 0  # no data in the west
        path = self.write(tmp_path / "r.tif", fine, 2)
        options = replace(FINE, block_size=1200, mask_scl=())
        with open_reference(path, options, class_file="worldcover") as labels:
            label_scenes([scene], labels, tmp_path / "s", options)
        store = open_store(tmp_path / "s")
        assert store.nomenclature.id == "worldcover"
        found = codes_of(store)
        assert (found[:, :120] == UNLABELLED).all()
        blocks = fine.reshape(300, 5, 300, 5).swapaxes(1, 2).reshape(300, 300, 25)
        counts = np.stack([(blocks == code).sum(axis=2) for code in (10, 40, 50)])
        ranked = np.sort(counts, axis=0)
        clear = (ranked[2] > ranked[1]) & (found != UNLABELLED)
        assert clear.sum() > 10_000
        majority = np.array([10, 40, 50])[counts.argmax(axis=0)]
        np.testing.assert_array_equal(found[clear], majority[clear])

    def test_folds_keep_a_distance(self, scene: Path, tmp_path: Path) -> None:
        path = self.write(tmp_path / "r.tif", np.full((30, 30), 40, np.uint8), 100)
        options = replace(FINE, block_size=1200, mask_scl=())
        with open_reference(path, options, class_file="worldcover") as labels:
            label_scenes([scene], labels, tmp_path / "s", options)
        store = open_store(tmp_path / "s")
        places = {}
        for index, fold in enumerate(store.column("fold")):
            patch = store.read(index)
            rows, columns = np.nonzero(patch.reference != UNLABELLED)
            x, y = patch.left + 10 * columns, patch.top - 10 * rows
            places.setdefault(fold, []).append(np.stack([x, y], axis=1))
        found = {fold: np.concatenate(parts) for fold, parts in places.items()}
        for one, other in itertools.combinations(found.values(), 2):
            assert KDTree(one).query(other, p=np.inf)[0].min() >= 100

    def test_what_cannot_be_a_reference(self, scene: Path, tmp_path: Path) -> None:
        path = self.write(tmp_path / "r.tif", np.full((30, 30), 41, np.uint8), 100)
        with pytest.raises(OutputError, match="found the codes 41"):
            open_reference(path, FINE, class_file="worldcover")
        with pytest.raises(ParameterError, match="'farm' of a raster"):
            open_reference(path, replace(FINE, split_by="farm"))
        with open_reference(path, FINE) as labels:
            assert labels.nomenclature.names == ("41",)


#: Side in metres of the scenes of two zones.
SIDE = 3600
ZONES = ("EPSG:32632", "EPSG:32633")


@pytest.fixture(scope="module")
def two_zones() -> list[ArrayScene]:
    """Each zone's, around 47° N, 12° E, the line between the zones."""
    found = []
    for crs in ZONES:
        x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(12.0, 47.0)
        left, top = (round(v / 60) * 60 for v in (x - SIDE / 2, y + SIDE / 2))
        found.append(array_scene(
            {"B04": np.full((SIDE // 10, SIDE // 10), 900, np.uint16)},
            offset=0, crs=crs, transform=from_origin(left, top, 10, 10), name=crs[-5:],
        ))  # fmt: skip
    return found


class TestTwoZones:
    """One ground seen by scenes of two UTM zones, whose pixels and patches lie askew."""

    def ground(self, store: Store) -> dict[int, NDArray[np.float64]]:
        """Fold → x and y, in the first zone, of its labelled pixels in all scenes."""
        found: dict[int, list[Any]] = {}
        for index, fold in enumerate(store.column("fold")):
            patch = store.read(index)
            rows, columns = np.nonzero(patch.reference != UNLABELLED)
            x, y = patch.left + 10 * columns + 5, patch.top - 10 * rows - 5
            to_first = Transformer.from_crs(patch.crs, ZONES[0], always_xy=True)
            found.setdefault(fold, []).append(np.stack(to_first.transform(x, y), axis=1))
        return {fold: np.concatenate(parts) for fold, parts in found.items()}

    def test_a_raster_keeps_folds_apart(self, two_zones: list[ArrayScene], tmp_path: Path) -> None:
        grid = two_zones[0].grid
        with rasterio.open(
            tmp_path / "r.tif", "w", driver="GTiff", height=54, width=54, count=1, dtype="uint8",
            crs=grid.crs, transform=from_origin(grid.left - 900, grid.top + 900, 100, 100),
        ) as dataset:  # fmt: skip
            dataset.write(np.full((54, 54), 40, np.uint8), 1)
        for split_by in ("blocks", "scene"):
            options = LabelOptions(split_by=split_by, block_size=1200)
            out = tmp_path / split_by
            with open_reference(tmp_path / "r.tif", options, class_file="worldcover") as labels:
                if split_by == "scene":  # the second sees little of its own
                    with pytest.raises(DatasetError, match="2 places to split them by"):
                        label_scenes(two_zones, labels, out, options)
                    continue
                label_scenes(two_zones, labels, out, options)
            ground = self.ground(open_store(out))
            for one, other in itertools.combinations(ground.values(), 2):
                assert KDTree(one).query(other[::7], p=np.inf)[0].min() >= 95
            # most of both scenes has a label
            assert sum(map(len, ground.values())) > 0.5 * 2 * (SIDE / 10) ** 2

    def test_fields_are_in_one_fold_in_both(
        self, two_zones: list[ArrayScene], tmp_path: Path
    ) -> None:
        grid = two_zones[0].grid
        corners = itertools.product(range(600, SIDE - 900, 300), repeat=2)
        shapes = [box(grid.left + x, grid.top - y - 200, grid.left + x + 200, grid.top - y)
                  for x, y in corners]  # fmt: skip
        fields = geopandas.GeoDataFrame(
            {"crop": ["Wheat"] * len(shapes)}, geometry=shapes, crs=grid.crs
        )
        fields.to_file(tmp_path / "f.gpkg")
        options = LabelOptions(block_size=600)
        labels = read_features(tmp_path / "f.gpkg", "crop", options)
        label_scenes(two_zones, labels, tmp_path / "s", options)
        folds: dict[int, set[int]] = {}
        for fold, places in self.ground(open_store(tmp_path / "s")).items():
            inside = shapely.STRtree(shapes).query(shapely.points(places), predicate="within")
            assert len(inside[0]) == len(places)
            for field in np.unique(inside[1]):
                folds.setdefault(field, set()).add(fold)
        assert len(folds) == len(shapes)
        assert all(len(found) == 1 for found in folds.values())
        assert set().union(*folds.values()) == set(range(5))


class TestDealing:
    def test_classes_are_in_all_folds_and_sizes_are_alike(self) -> None:
        rng = np.random.default_rng(0)
        counts = {
            (place, c): int(rng.integers(1, 2000))
            for place in range(200)
            for c in range(8)
            if rng.random() < (0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.05, 0.05)[c]
        }
        folds = deal(counts, 200, 8, 5, 0)
        for c in range(8):
            own = Counter(int(folds[p]) for p, k in counts if k == c)
            assert set(own) == set(range(5))
            assert max(own.values()) <= 2.2 * min(own.values()) + 1
        assert (folds == deal(counts, 200, 8, 5, 0)).all()
        assert (folds != deal(counts, 200, 8, 5, 1)).any()
        assert (deal({(1, 0): 5}, 3, 1, 5, 0) == [NO_FOLD, 0, NO_FOLD]).all()


def test_colours_differ() -> None:
    for count in (1, 7, 40, 255):
        colors = distinct_colors(count)
        assert len(set(colors)) == count
        assert colors == distinct_colors(255)[:count]
    rgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in distinct_colors(12)])
    distance = np.abs(rgb[:, None] - rgb[None]).sum(axis=2) + 999 * np.eye(12, dtype=int)
    assert distance.min() > 80


def test_the_command(scene: Path, tmp_path: Path) -> None:
    path, _ = many(tmp_path / "fields.gpkg")
    arguments = ["label", str(scene), "--polygons", str(path), "--out", str(tmp_path / "s"), "-q"]
    result = CliRunner().invoke(cli, [*arguments, "--block-size", "300"])
    assert result.exit_code == 2
    arguments += ["--field", "crop", "--block-size", "300"]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "labelled pixels of 2 classes in 36 places (blocks 300 m); train" in result.stdout
    assert "pixels under clouds or other masked classes: no label there" in result.stderr
    described = json.loads(CliRunner().invoke(cli, ["info", str(tmp_path / "s"), "--json"]).stdout)
    assert described["labelling"]["file"] == "fields.gpkg"
    labelled = sum(described["labelling"]["pixels_by_fold"].values())
    share = labelled / (120 * 120 * described["patches"]["total"])
    assert 0.02 < share < 0.1
    assert f"labels on {share:.1%} of the patches' pixels: learn from parts" in result.stderr
    assert described["labelling"]["split_by"] == "blocks 300 m"
    result = CliRunner().invoke(cli, [*arguments, "--reference", str(path)])
    assert result.exit_code == 2


def test_a_scene_may_lack_bands(tmp_path: Path) -> None:
    bands = {n: b for n, b in position_bands(SIZE, SIZE).items() if n in ("B02", "B04", "B8A")}
    arrays = array_scene(
        bands, offset=0, crs=UTM, transform=from_origin(LEFT, TOP, 10, 10), name="arrays"
    )
    path, _ = many(tmp_path / "fields.gpkg")
    labels = read_features(path, "crop", FINE)
    label_scenes([arrays], labels, tmp_path / "s", FINE)
    store = open_store(tmp_path / "s")
    assert store.manifest["labelling"]["missing_bands"] == [
        *("B01", "B03", "B05", "B06", "B07", "B08", "B09", "B11", "B12")
    ]
    patch = store.read(0)
    for resolution, names in GROUPS.items():
        for name, pixels in zip(names, patch.dn[resolution], strict=True):
            assert pixels.any() == (name in bands)
    only_20 = array_scene(
        {"B8A": bands["B8A"]}, offset=0, crs=UTM, transform=from_origin(LEFT, TOP, 20, 20)
    )
    with pytest.raises(ProductError, match="no band of 10 m"):
        label_scenes([only_20], labels, tmp_path / "t", FINE)


@pytest.mark.parametrize("name", ["threads", "seed", "folds", "block_size", "buffer"])
def test_numbers_of_many_digits_are_one_line(name: str) -> None:
    with pytest.raises(ParameterError, match=r"found 10{200,}.*expected "):
        LabelOptions(**{name: 10**400})
