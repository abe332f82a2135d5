"""A chart of areas by class, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from geolulc.outputs.cells import ClassSummary

_WIDTH, _LABELS, _FIGURES, _ROW = 800, 170, 110, 24
_MARK: Final = "#222222"


def bar_chart(summaries: Sequence[ClassSummary]) -> str:
    """Bars of the area where each class is dominant, with a mark at its expected area."""
    shown = [s for s in summaries if s.area_ha > 0 or s.expected_area_ha > 0]
    most = max((max(s.area_ha, s.expected_area_ha) for s in shown), default=0.0)
    if not most:
        return "<p>Nothing is mapped.</p>"
    scale = (_WIDTH - _LABELS - _FIGURES) / most
    rows = "".join(_row(s, i * _ROW, scale) for i, s in enumerate(shown))
    height = _ROW * len(shown)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="Area by class in hectares">{rows}</svg>'
    )


def _row(summary: ClassSummary, y: int, scale: float) -> str:
    c = summary.land_cover
    bar, mark = summary.area_ha * scale, _LABELS + summary.expected_area_ha * scale
    title = (
        f"{c.name}: {summary.area_ha:,.1f} ha dominant, {summary.expected_area_ha:,.1f} ha expected"
    )
    return (
        f"<g><title>{escape(title)}</title>"
        f'<text x="{_LABELS - 8}" y="{y + 16}" text-anchor="end">{escape(c.short)}</text>'
        f'<rect x="{_LABELS}" y="{y + 4}" width="{bar:.1f}" height="{_ROW - 8}" '
        f'fill="{c.color}" stroke="#666" stroke-width="0.5"/>'
        f'<line x1="{mark:.1f}" x2="{mark:.1f}" y1="{y + 2}" y2="{y + _ROW - 2}" '
        f'stroke="{_MARK}" stroke-width="2"/>'
        f'<text x="{_WIDTH}" y="{y + 16}" text-anchor="end">{summary.area_ha:,.0f} ha</text></g>'
    )
