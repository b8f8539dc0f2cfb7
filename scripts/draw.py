"""Draws the documentation's picture: `draw.py` writes docs/overview.svg from docs/overview.toml.

The source gives boxes and arrows with their places; here is only how each kind of them looks. The picture
has a white ground of its own, so that it reads the same on light and dark pages.
"""

from __future__ import annotations

import tomllib
from html import escape
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
LINE_PX = 17
BOXES = {  # kind -> fill, border, dashes
    "frame": ("#f6f8fa", "#8c959f", "6 4"),
    "agent": ("#fff8c5", "#9a6700", "none"),
    "ours": ("#ddf4ff", "#0969da", "none"),
    "allowed": ("#dafbe1", "#1a7f37", "none"),
    "refused": ("#ffebe9", "#cf222e", "none"),
}
ARROWS = {  # kind -> colour, dashes
    "control": ("#57606a", "none"),
    "allowed": ("#1a7f37", "none"),
    "refused": ("#cf222e", "5 4"),
}
CROSS_BEFORE_END_PX = 40
"""Where on its last stretch an arrow that is stopped has its cross."""


def draw(source: dict[str, Any]) -> str:
    """The SVG of a source. Raises KeyError for a kind that is unknown, or a field that is missing."""
    width, height = source["width"], source["height"]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" font-family="Helvetica, Arial, sans-serif" font-size="12.5">',
        "<!-- Drawn by scripts/draw.py from docs/overview.toml: edit that, then run `make picture`. -->",
        f"<title>{escape(source['title'])}</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>',
        *(draw_box(box) for box in source["box"]),
        *(draw_arrow(arrow) for arrow in source["arrow"]),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def draw_box(box: dict[str, Any]) -> str:
    """A rectangle with its title and lines."""
    (left, top, width, height), (fill, border, dashes) = box["at"], BOXES[box["kind"]]
    title, *lines = box["lines"]
    parts = [
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="6" fill="{fill}" '
        f'stroke="{border}" stroke-width="1.5" stroke-dasharray="{dashes}"/>',
        _text(left + 12, top + 22, title, extra='font-weight="bold" font-size="14"'),
    ]
    parts += [_text(left + 12, top + 26 + LINE_PX * n, line) for n, line in enumerate(lines, 1)]
    return "\n".join(parts)


def draw_arrow(arrow: dict[str, Any]) -> str:
    """A line with a head, or with a cross where what it stands for is stopped."""
    colour, dashes = ARROWS[arrow["kind"]]
    points = arrow["points"]
    (x0, y0), (x1, y1) = points[-2:]
    dx, dy = (x1 > x0) - (x1 < x0), (y1 > y0) - (y1 < y0)
    path = " ".join(f"{x},{y}" for x, y in points)
    head = " ".join(f"{x1 - 9 * dx + 5 * side * dy},{y1 - 9 * dy + 5 * side * dx}" for side in (1, -1))
    parts = [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8" '
        f'stroke-dasharray="{dashes}"/>',
        f'<polygon points="{x1},{y1} {head}" fill="{colour}"/>',
    ]
    if arrow.get("is_stopped"):
        x, y = x1 - CROSS_BEFORE_END_PX * dx, y1 - CROSS_BEFORE_END_PX * dy
        cross = f"M{x - 7},{y - 7} L{x + 7},{y + 7} M{x - 7},{y + 7} L{x + 7},{y - 7}"
        parts.append(f'<path d="{cross}" stroke="{colour}" stroke-width="3.5"/>')
    if arrow["label"]:
        x, y = arrow["label_at"]
        parts.append(_text(x, y, arrow["label"], extra=f'text-anchor="{arrow.get("anchor", "middle")}"'))
    return "\n".join(parts)


def _text(x: int, y: int, text: str, *, extra: str = "") -> str:
    return f'<text x="{x}" y="{y}" fill="#1f2328" {extra}>{escape(text)}</text>'


if __name__ == "__main__":
    source = tomllib.loads((DOCS / "overview.toml").read_text())
    (DOCS / "overview.svg").write_text(draw(source))
