"""What is frozen of a file: plain values that go into JSON, and texts that are kept apart."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
from collections.abc import Collection
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pyogrio
import rasterio
import shapely
from golden.intended import NEW_TAGS
from golden.making import VERSION
from golden.values import hashed
from numpy.typing import NDArray
from PIL import Image

#: Of no meaning for what a map holds.
_IGNORED_TAGS = {"GEOLULC_VERSION", "TIFFTAG_SOFTWARE"}
_IGNORED_KEYS = {"file:size", "file:checksum", "processing:software", "geolulc_version"}
#: Long and often the same: kept as texts.
_LONG_KEYS = {"classification:classes", "mlm:input", "mlm:output"}
#: Rows of a table that are frozen one by one; of more, sums and hashes.
_FEW_ROWS = 12


class Facts:
    """Facts of the files below ``root``, whose path is nowhere in them."""

    def __init__(self, root: Path, *, resampled: bool = False) -> None:
        """``resampled``: values that hang on the last digit of a projection."""
        self.root, self.resampled = root, resampled
        self.texts: dict[str, str] = {}
        #: What is written for texts that change where nothing of a map does.
        self.masks = {str(root): "ROOT", f"geolulc {VERSION}": "geolulc VERSION"}

    def hide_model(self, model: Path) -> Path:
        """Give the checkpoint of a made network, whose hash is written as a word from now on."""
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
        self.masks |= {digest: "MODEL-SHA256", digest[:8]: "MODEL8"}
        return model

    def of_folder(self, folder: Path) -> dict[str, Any]:
        """Name → facts of each file in a folder."""
        return {path.name: self.of_file(path) for path in sorted(folder.iterdir())}

    def of_file(self, path: Path) -> dict[str, Any]:
        """Facts of one file, by its ending."""
        if path.suffix == ".tif":
            return self.of_raster(path)
        if path.suffix in (".gpkg", ".parquet", ".fgb"):
            return self.of_vectors(path)
        if path.suffix == ".json":
            return {"json": self.plain(json.loads(path.read_text(encoding="utf-8")))}
        if path.suffix == ".html":
            return self.of_page(path)
        if path.suffix == ".png":
            with Image.open(path) as image:
                return {"size": list(image.size)}
        return {"text": self.text(path.read_text(encoding="utf-8"))}

    def text(self, text: str) -> dict[str, str]:
        """A reference to ``text``, which is kept apart."""
        text = self._string(text)
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.texts[key] = text
        return {"$text": key}

    def plain(self, value: Any) -> Any:
        """JSON without what changes from run to run; numbers in texts of JSON as numbers."""
        if isinstance(value, dict):
            return {
                key: self.text(json.dumps(item, indent=1, ensure_ascii=False, sort_keys=True))
                if key in _LONG_KEYS
                else self.plain(_few_bands(item) if key == "bands" else item)
                for key, item in value.items()
                if key not in _IGNORED_KEYS
            }
        if isinstance(value, list):
            return [self.plain(item) for item in value]
        return self._string(value) if isinstance(value, str) else value

    def of_raster(self, path: Path, *, but: Collection[str] = ()) -> dict[str, Any]:
        """All but how it is laid out and packed, and the tags ``but``."""
        with rasterio.open(path) as dataset:
            nodata = dataset.nodata
            found = {
                "dtype": dataset.dtypes[0],
                "nodata": None if nodata is None else str(nodata),
                "shape": list(dataset.shape),
                "transform": list(dataset.transform)[:6],
                "crs": dataset.crs.to_string(),
                **self.file_tags({k: v for k, v in dataset.tags().items() if k not in but}),
                "bands": [self._band(dataset, i) for i in range(1, dataset.count + 1)],
            }
            if dataset.colorinterp[0].name == "palette":
                entries = dataset.colormap(1).items()
                lines = [" ".join(map(str, (k, *v))) for k, v in entries if any(v[:3])]
                found["colors"] = self.text("\n".join(lines))
        return found

    def file_tags(self, tags: dict[str, str]) -> dict[str, Any]:
        """Those of a file or layer: its name, and a text that a map's files share."""
        tags = self.tags(tags)
        apart = ("GEOLULC_FILE", "GEOLULC_RUN", "MOSAIC_DIGEST")
        kept = {key: tags.pop(key) for key in apart if key in tags}
        lines = [f"{key}: {json.dumps(tags[key], ensure_ascii=False)}" for key in tags]
        return {"file tags": kept, "tags": self.text("\n".join(lines))}

    def tags(self, tags: dict[str, str]) -> dict[str, Any]:
        return {
            key: self._tag(key, value)
            for key, value in sorted(tags.items())
            if key not in _IGNORED_TAGS
            and _whole(key) not in NEW_TAGS
            and not key.startswith("STATISTICS_APPROX")
        }

    def _tag(self, key: str, value: str) -> Any:
        if key == "MOSAIC_DIGEST":
            return f"bound-version:{value}"
        if key.endswith("CLASSES"):  # with colours and more since
            return [{"name": c["name"], "code": c["code"]} for c in json.loads(value)]
        try:
            return json.loads(value)
        except ValueError:
            return self._string(value)

    def _band(self, dataset: Any, band: int) -> dict[str, Any]:
        values = dataset.read(band)
        description = dataset.descriptions[band - 1] or ""
        found = {
            "description": description,
            "tags": self.tags(dataset.tags(band)),
            **({"scale": s} if (s := dataset.scales[band - 1]) != 1 else {}),
            **({"offset": o} if (o := dataset.offsets[band - 1]) != 0 else {}),
            **({"unit": u} if (u := dataset.units[band - 1]) else {}),
        }
        bound = self.resampled or description == "Entropy"
        return found | self.array(values, bound=bound)

    def array(self, values: NDArray[Any], *, bound: bool = False) -> dict[str, Any]:
        """The SHA-256 of an array; where ``bound`` to a machine, sums that say where it is what."""
        if values.dtype.kind == "f":
            values = np.where(np.isnan(values), np.nan, values + 0).astype(values.dtype)
        digest = hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:32]
        if not bound:
            return {"sha256": digest}
        flat = values.ravel().astype(np.float64)
        known = np.isfinite(flat)
        weights = [hashed(seed, np.arange(flat.size)) % 1000 for seed in range(3)]
        return {
            "sha256": f"bound:{digest}",
            "sums": [float((w[known] * flat[known]).sum()) for w in weights],
        }

    def of_vectors(self, path: Path) -> dict[str, Any]:
        """Of each layer its rows, whatever their order, and what is said of it."""
        if path.suffix == ".parquet":
            table = geopandas.read_parquet(path)
            return {"": self._layer(table) | self.file_tags(table.attrs)}
        found: dict[str, Any] = {}
        for name, _ in pyogrio.list_layers(path):
            if name == "layer_styles":
                continue
            layer = None if path.suffix == ".fgb" else name
            tags = pyogrio.read_info(path, layer=layer)["layer_metadata"] or {}
            table = pyogrio.read_dataframe(path, layer=layer)
            key = "" if path.suffix == ".fgb" else name
            found[key] = self._layer(table) | self.file_tags(tags)
        if path.suffix == ".gpkg":
            with closing(sqlite3.connect(path)) as database:
                ask = "SELECT table_name, data_type, identifier, description FROM gpkg_contents"
                for name, *contents in database.execute(ask):
                    if name in found:
                        found[name]["contents"] = contents
                tables = "SELECT count(*) FROM sqlite_master WHERE name = 'layer_styles'"
                if database.execute(tables).fetchone()[0]:
                    ask = "SELECT f_table_name, styleName, useAsDefault, styleQML FROM layer_styles"
                    for name, title, default, style in database.execute(ask):
                        styles = found[name].setdefault("styles", [])
                        styles.append([title, default, self.text(style)])
        return found

    def _layer(self, table: Any) -> dict[str, Any]:
        columns = {name: str(kind) for name, kind in table.dtypes.items()}
        table = table.copy()
        found: dict[str, Any] = {"columns": columns, "rows": len(table)}
        if "geometry" in table:
            found["crs"] = table.crs.to_string()
            shapes = table.geometry.to_numpy()
            rounded = shapely.transform(shapes, lambda xy: np.round(xy, 6) + 0.0)
            wkb = shapely.to_wkb(shapely.normalize(rounded))
            table = pandas.DataFrame(table.drop(columns="geometry"))
            table["geometry"] = [hashlib.sha256(w).hexdigest()[:24] for w in wkb]
            found["geometry types"] = sorted(set(shapely.get_type_id(shapes).tolist()))
            keys = [name for name in ("geometry", "code") if name in table]
            table = table.sort_values(keys, kind="stable")
        if len(table) <= _FEW_ROWS:
            records = json.loads(table.to_json(orient="records", double_precision=15))
            return found | {"records": [self.plain(record) for record in records]}
        weights = hashed(1, np.arange(len(table))) % 1000 + 1
        for name in table.columns:
            values = table[name].to_numpy()
            if values.dtype.kind == "f":
                known = np.isfinite(values)
                found[f"column {name}"] = {
                    "missing": int((~known).sum()),
                    "sum": float(values[known].sum()),
                    "weighted": float((weights[known] * values[known]).sum()),
                }
            else:
                text = json.dumps(values.tolist(), ensure_ascii=False)
                found[f"column {name}"] = hashlib.sha256(text.encode()).hexdigest()[:32]
        if "code" in table and "area_ha" in table:
            by_class = table.groupby("code").area_ha.agg(["count", "sum"])
            found["by class"] = {str(k): [int(n), float(a)] for k, n, a in by_class.itertuples()}
        return found

    def of_page(self, path: Path) -> dict[str, Any]:
        """All that a reader sees, and the data that the page's script draws."""
        words, data, backdrop = read_page(path)
        for name in ("codes", "entropy", "margin"):
            data[name] = self.array(_decoded(data[name]), bound=name == "entropy" or self.resampled)
        for one in data["classes"]:
            one["p"] = self.array(_decoded(one["p"]), bound=self.resampled)
        data["ramp"] = self.text(json.dumps(data["ramp"]))
        return {
            "words": self.text("\n".join(words)),
            "backdrop": backdrop,
            "data": self.plain(data),
        }

    def _string(self, text: str) -> str:
        for found, word in self.masks.items():
            text = text.replace(found, word)
        return text


def read_page(path: Path) -> tuple[list[str], dict[str, Any], str | None]:
    """The lines that a reader of a report sees, its script's data, and the backdrop's place."""
    reader = _PageReader()
    reader.feed(path.read_text(encoding="utf-8"))
    lines = [" ".join(line.split()) for line in "".join(reader.pieces).splitlines()]
    return [line for line in lines if line], json.loads(reader.data), reader.backdrop


def _few_bands(bands: Any) -> Any:
    """The first and the last of many: the raster itself is frozen with all."""
    many = isinstance(bands, list) and len(bands) > 3 and "name" in bands[0]
    return {"number": len(bands), "first": bands[0], "last": bands[-1]} if many else bands


def _decoded(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(base64.b64decode(text), np.uint8)


class _PageReader(HTMLParser):
    """The words of a page, an element a line, but terms and cells of tables in one."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.data = ""
        self.backdrop: str | None = None
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "style"):
            self._inside = "data" if given.get("id") == "data" else tag
        if given.get("id") == "backdrop" and tag == "img":
            self.backdrop = given["style"]
        told = [f"{k}={given[k]}" for k in ("title", "width", "x1", "style") if k in given]
        if tag in ("button", "rect", "line", "i") and told:
            self.pieces.append(f" [{tag} {' '.join(told)}] ")
        elif tag not in ("dd", "td", "th", "span", "button", "b", "i"):
            self.pieces.append("\n")
        if tag in ("dd", "td", "th"):
            self.pieces.append(" | ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "data":
            self.data += data
        elif not self._inside:
            self.pieces.append(data)


def _whole(tag: str) -> str:
    """The name of a tag that change.tif has from one of its maps."""
    return tag.removeprefix("BEFORE_").removeprefix("AFTER_")


#: Tags of a predicted map that hang on its values.
_FIGURES = {"AREA_HA_BY_CLASS", "MODEL_SHA256", "MAPPED_AREA_HA"}


def of_prediction(facts: Facts, out: Path) -> dict[str, Any]:
    """Of the map ``out`` that a network made: values here and there, as CPUs differ by a little.

    A probability may differ by 1e-4, or a step; a class counts where its lead is over 1e-3.
    """
    found: dict[str, Any] = {}
    lead = _lead(out)
    for path in sorted(out.parent.glob(f"{out.stem}*")):
        if path.suffix != ".tif":
            found[path.name] = {}
            continue
        raster = facts.of_raster(path, but=_FIGURES)
        with rasterio.open(path) as dataset:
            for i, band in enumerate(raster["bands"], start=1):
                del band["sha256"]
                band.pop("sums", None)
                band["tags"] = {
                    k: v for k, v in band["tags"].items() if not k.startswith("STATISTICS_")
                }
                count = 48 if dataset.count <= 6 else 16
                band |= _samples(dataset.read(i), count, path, i, out, lead)
        found[path.name] = raster
    return found


def _samples(
    values: NDArray[Any], count: int, path: Path, band: int, out: Path, lead: NDArray[np.float64]
) -> dict[str, Any]:
    flat = values.ravel()
    places = np.unique(hashed(500 + band, np.arange(count)) % flat.size)
    if path.stem.endswith("_presence"):
        return {}
    codes = path.stem == f"{out.stem}_classes" or (
        band <= 3 and (path.stem.endswith("_top3") or (path.stem == out.stem and _of_pixels(out)))
    )
    if codes:
        if band > 1:
            return {}
        sure = lead.ravel()[places] > 1e-3
        return {"$sure": [int(v) if s else None for v, s in zip(flat[places], sure, strict=True)]}
    if values.dtype.kind != "f":
        known = flat.astype(np.float64)
        return {"$near": known[places].tolist(), "$within": 1.0, "mean": _mean(known, 0.05)}
    shown = np.where(np.isnan(flat), -1, flat).astype(np.float64)
    picked = [round(float(v), 6) for v in shown[places]]
    return {"$near": picked, "$within": 1e-4, "mean": _mean(shown, 2e-5)}


def _mean(values: NDArray[np.float64], within: float) -> dict[str, Any]:
    return {"$near": [float(values.mean())], "$within": within}


def _of_pixels(out: Path) -> bool:
    return out.with_name(f"{out.stem}_top3.tif").exists()


def _lead(out: Path) -> NDArray[np.float64]:
    """How far the first class is ahead of the second, in each cell or pixel."""
    if _of_pixels(out):
        with rasterio.open(out.with_name(f"{out.stem}_top3.tif")) as dataset:
            first, second = dataset.read([4, 5]).astype(np.float64)
        # by two steps, as either may be a step off; no data is sure
        return np.where(first == 255, 1.0, (first - second - 2) / 250)
    with rasterio.open(out) as dataset:
        ordered = np.sort(dataset.read(), axis=0).astype(np.float64)
    lead = ordered[-1] - ordered[-2] if len(ordered) > 1 else np.ones(ordered.shape[1:])
    return np.where(np.isnan(lead), 1.0, lead)
