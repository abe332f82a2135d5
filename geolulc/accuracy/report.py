"""The files of an assessment: JSON, tables, and a report to read, as Markdown and as a page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas

from geolulc.learning.markdown import markdown_table
from geolulc.outputs.templates import fill
from geolulc.safe_texts import for_csv, for_markdown

#: Files, by what they hold.
_FILES: Final = {
    "json": "accuracy.json",
    "markdown": "accuracy.md",
    "html": "accuracy.html",
    "estimates": "estimates.csv",
    "matrix": "matrix.csv",
    "matrix_area": "matrix_area.csv",
}
#: Measures by class → their title, in maps of one class and of several a pixel or cell.
_MEASURES: Final = {
    "users": ("User's accuracy", "User's accuracy"),
    "producers": ("Producer's accuracy", "Detection rate"),
    "f1": ("F1", "F1"),
    "false_alarm": ("", "False alarm rate"),
}
KAPPA: Final = (
    "Kappa is not shown: it corrects for an agreement by chance that no map claims, and adds "
    "nothing to overall accuracy (Olofsson et al. 2014, section 4.3). --kappa gives it."
)
SOURCES: Final = (
    "Estimators: Olofsson et al. 2014 (Remote Sensing of Environment 148:42-57) and Stehman 2014 "
    "(International Journal of Remote Sensing 35:4923-4939). An interval is ± 1.96 standard "
    "errors; of cluster samples, Student's t in place of 1.96."
)


def write_files(
    folder: Path, result: Mapping[str, Any], pictures: Mapping[str, Any]
) -> dict[str, str]:
    """Write all files of an assessment into ``folder``; returns what each holds → its name."""
    texts = {
        "json": json.dumps(result, indent=2, ensure_ascii=False) + "\n",
        "markdown": "\n".join(_markdown(result)),
        "html": fill(
            "report.html",
            room="accuracy",
            version=result["geolulc_version"],
            result=result,
            names={key: Path(result[key]).name for key in ("map", "reference")},
            headline=headline(result),
            tables=_tables(result),
            notes=_notes(result),
            **pictures,
        ),
    }
    for name, text in texts.items():
        (folder / _FILES[name]).write_text(text, encoding="utf-8")
    for name, lines in (
        ("estimates", _estimates(result)),
        ("matrix", _matrix(result, "counts")),
        ("matrix_area", _matrix(result, "area_proportions")),
    ):
        header, *rows = lines
        table = pandas.DataFrame(rows, columns=list(header), dtype=object)
        (folder / _FILES[name]).write_text(for_csv(table), encoding="utf-8")
    return dict(_FILES)


def interval(estimate: Mapping[str, Any], number: str = "{:.3f}") -> str:
    """An estimate with its interval: "0.947 ± 0.018"; "–" where nothing is known."""
    value, half = estimate["estimate"], estimate["ci95"]
    if value is None:
        return "–"
    return f"{number.format(value)} ± {'?' if half is None else number.format(half)}"


def headline(result: Mapping[str, Any]) -> list[str]:
    """The lines above all tables: overall accuracy, and the area of change."""
    lines = [f"Overall accuracy: {interval(result['overall'])} (95 % interval)"]
    if "change_ha" in result:
        lines.append(f"Area of change: {interval(result['change_ha'], '{:,.1f}')} ha")
    return lines


def estimate_tables(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tables of accuracy and area by class: title, header and rows."""
    several = result["several_classes"]
    measures = {k: titles[several] for k, titles in _MEASURES.items() if k in result}
    counted = "Counted on the map where it is the most probable class (ha)" if several else (
        "Counted on the map (ha)"
    )  # fmt: skip
    area = [
        [name, interval(values, "{:,.1f}"), values.get("counted", values.get("counted_dominant"))]
        for name, values in result["area_ha"].items()
    ]
    return [
        {
            "title": "Accuracy by class",
            "header": ["Class", *measures.values()],
            "rows": [
                [name, *(interval(result[measure][name]) for measure in measures)]
                for name in result["users"]
            ],
        },
        {
            "title": "Area by class",
            "header": ["Class", "Estimated (ha, 95 % interval)", counted],
            "rows": [[name, estimated, f"{found:,.1f}"] for name, estimated, found in area],
        },
    ]


def _tables(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All tables of a report: those of estimates, and the error matrices."""
    tables = estimate_tables(result)
    for key, title in (
        ("counts", "Error matrix: points (rows: map, columns: reference)"),
        ("area_proportions", "Error matrix: shares of the ground (rows: map, columns: reference)"),
    ):
        header, *rows = _matrix(result, key)
        shown = [[v if isinstance(v, str) else f"{v:.4g}" for v in row] for row in rows]
        tables.append({"title": title, "header": header, "rows": shown})
    return tables


def _markdown(result: Mapping[str, Any]) -> Iterator[str]:
    yield from ("# Accuracy and area", "", f"Map: {for_markdown(result['map'])}  ")
    reference, used = for_markdown(result["reference"]), result["points"]["used"]
    yield from (f"Reference: {reference}, {used} points used  ",)
    yield from (f"Design: {result['design']['words']}", "")
    for line in headline(result):
        yield from (f"**{line}**", "")
    for table in _tables(result):
        yield from (
            f"## {for_markdown(table['title'])}",
            "",
            *markdown_table(table["header"], table["rows"]),
        )
    yield from ("## Remarks", "", *(f"- {for_markdown(note)}" for note in _notes(result)), "")


def _notes(result: Mapping[str, Any]) -> list[str]:
    kappa = [f"Kappa: {result['kappa']:.3f}."] if "kappa" in result else [KAPPA]
    several = result["several_classes"]
    return [*result["remarks"], *([] if several else kappa), SOURCES]


def _estimates(result: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
    columns = ("estimate", "standard_error", "ci95")
    yield ("measure", "class", *columns)
    for measure in ("overall", "change_ha"):
        if measure in result:
            yield (measure, "", *(result[measure][c] for c in columns))
    for measure in (*_MEASURES, "area_ha"):
        for name, values in result.get(measure, {}).items():
            yield (measure, name, *(values[c] for c in columns))


def _matrix(result: Mapping[str, Any], key: str) -> Iterator[Sequence[Any]]:
    matrix = result["matrix"]
    names = matrix["classes"]
    if result["several_classes"]:
        yield ("class", "in both", "in the map only", "in the reference only", "in neither")
        for name, ((both, extra), (missed, neither)) in zip(names, matrix[key], strict=True):
            yield (name, both, extra, missed, neither)
        return
    yield ("map \\ reference", *names)
    for name, row in zip(names, matrix[key], strict=True):
        yield (name, *row)
