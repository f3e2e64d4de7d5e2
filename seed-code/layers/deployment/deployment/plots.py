"""Plots as SVG for reports: bars, lines and points, enough for a page that has to need nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT = 480, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 12, 46
COLOURS = ("#1f6fb2", "#d9822b", "#0b7a4b", "#8250df", "#b3261e")


def bars(values: Mapping[str, float], *, x: str, y: str, limit: float | None = None) -> str:
    """Return a bar chart: one bar for each name.

    Args:
        values: Height by name.
        x: What the names are.
        y: What the heights are, with the unit.
        limit: Height of a dashed line, e.g. what is allowed.
    """
    highest = max([*values.values(), limit or 0.0, 1e-12])
    scale = _Scale((0.0, float(len(values) or 1)), (min(0.0, *values.values(), 0.0), highest * 1.08))
    parts = [scale.frame(x, y, with_x=False)]
    widest = max((len(_short(name)) for name in values), default=0)
    every = max(1, math.ceil(len(values) / (12 if widest <= 4 else 8)))
    for number, (name, value) in enumerate(values.items()):
        left, right = scale.x(number + 0.12), scale.x(number + 0.88)
        top, bottom = sorted((scale.y(value), scale.y(0.0)))
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" '
            f'fill="{COLOURS[0]}"><title>{escape(name)}: {value:.4g}</title></rect>'
        )
        if number % every == 0:
            parts.append(_text((left + right) / 2, _HEIGHT - _BOTTOM + 16, _short(name), anchor="middle"))
    return _svg([*parts, *scale.line(limit)])


def lines(series: Mapping[str, Sequence[tuple[float, float]]], *, x: str, y: str, limit: float | None = None) -> str:
    """Return a line chart: a line through the points of each name."""
    scale = _Scale.of([point for points in series.values() for point in points], limit)
    parts = [scale.frame(x, y)]
    for (name, points), colour in zip(series.items(), _colours(), strict=False):
        path = " ".join(f"{scale.x(a):.1f},{scale.y(b):.1f}" for a, b in points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"><title>{escape(name)}</title>'
            "</polyline>"
        )
    return _svg([*parts, *scale.line(limit), *_legend(list(series))])


def points(series: Mapping[str, Sequence[tuple[float, float]]], *, x: str, y: str, diagonal: bool = False) -> str:
    """Return a scatter plot; with `diagonal`, points on the line are equal in both."""
    every = [point for of_name in series.values() for point in of_name]
    scale = _Scale.of(every, None)
    parts = [scale.frame(x, y)]
    if diagonal and every:
        low = max(scale.horizontal[0], scale.vertical[0])
        high = min(scale.horizontal[1], scale.vertical[1])
        if high > low:
            parts.append(
                f'<line x1="{scale.x(low):.1f}" y1="{scale.y(low):.1f}" x2="{scale.x(high):.1f}" '
                f'y2="{scale.y(high):.1f}" stroke="#9aa7b2" stroke-dasharray="4 4"/>'
            )
    for (_, of_name), colour in zip(series.items(), _colours(), strict=False):
        parts += [
            f'<circle cx="{scale.x(a):.1f}" cy="{scale.y(b):.1f}" r="3" fill="{colour}" fill-opacity="0.65"/>'
            for a, b in of_name
        ]
    return _svg([*parts, *_legend(list(series))])


def histogram(values: Sequence[float], *, x: str, y: str = "count", buckets: int = 24) -> str:
    """Return a histogram of numbers in equally wide buckets."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return bars({}, x=x, y=y)
    low, high = min(finite), max(finite)
    width = (high - low) / buckets or 1.0
    counts = [0] * buckets
    for value in finite:
        counts[min(int((value - low) / width), buckets - 1)] += 1
    scale = _Scale((low, low + buckets * width), (0.0, max(counts) * 1.08))
    parts = [scale.frame(x, y)]
    for number, count in enumerate(counts):
        begin = low + number * width
        left, right, top = scale.x(begin + 0.12 * width), scale.x(begin + 0.88 * width), scale.y(count)
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{scale.y(0.0) - top:.1f}" '
            f'fill="{COLOURS[0]}"><title>{begin:.4g} to {begin + width:.4g}: {count}</title></rect>'
        )
    return _svg(parts)


class _Scale:
    """Where numbers are on the picture."""

    def __init__(self, horizontal: tuple[float, float], vertical: tuple[float, float]) -> None:
        self.horizontal = horizontal
        self.vertical = vertical

    @classmethod
    def of(cls, every: Sequence[tuple[float, float]], limit: float | None) -> _Scale:
        xs = [a for a, _ in every] or [0.0, 1.0]
        ys = [b for _, b in every] + ([limit] if limit is not None else []) or [0.0, 1.0]
        return cls(_wider(min(xs), max(xs), 0.0), _wider(min(ys), max(ys), 0.06))

    def x(self, value: float) -> float:
        low, high = self.horizontal
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.vertical
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def frame(self, x: str, y: str, *, with_x: bool = True) -> str:
        parts = []
        for value in _ticks(*self.vertical):
            at = self.y(value)
            parts.append(f'<line x1="{_LEFT}" y1="{at:.1f}" x2="{_WIDTH - _RIGHT}" y2="{at:.1f}" stroke="#e6ebef"/>')
            parts.append(_text(_LEFT - 6, at + 4, f"{value:.4g}", anchor="end"))
        if with_x:
            for value in _ticks(*self.horizontal):
                parts.append(_text(self.x(value), _HEIGHT - _BOTTOM + 16, f"{value:.4g}", anchor="middle"))
        parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, x, anchor="middle", colour="#16212b"))
        middle = (_TOP + _HEIGHT - _BOTTOM) / 2
        turned = f'transform="rotate(-90 13 {middle:.1f})"'
        parts.append(_text(13, middle, y, anchor="middle", colour="#16212b", more=turned))
        return "".join(parts)

    def line(self, limit: float | None) -> list[str]:
        if limit is None:
            return []
        at = self.y(limit)
        return [
            f'<line x1="{_LEFT}" y1="{at:.1f}" x2="{_WIDTH - _RIGHT}" y2="{at:.1f}" stroke="#b3261e" '
            f'stroke-dasharray="5 4"/>',
            _text(_WIDTH - _RIGHT, at - 4, f"limit {limit:.4g}", anchor="end", colour="#b3261e"),
        ]


def _wider(low: float, high: float, share: float) -> tuple[float, float]:
    span = high - low
    if span <= 0:
        span = abs(high) or 1.0
        return low - span / 2, high + span / 2
    return low - span * share, high + span * share


def _ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers in a range."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    first = math.ceil(low / step)
    return [round(number * step, 12) for number in range(first, math.floor(high / step) + 1)]


def _colours() -> Sequence[str]:
    return COLOURS


def _legend(names: Sequence[str]) -> list[str]:
    if len(names) < 2:
        return []
    parts = []
    for number, name in enumerate(names[: len(COLOURS)]):
        at = _TOP + 8 + number * 16
        parts.append(f'<rect x="{_WIDTH - 130}" y="{at - 8}" width="10" height="10" fill="{COLOURS[number]}"/>')
        parts.append(_text(_WIDTH - 114, at + 1, _short(name, 18), anchor="start"))
    return parts


def _short(name: str, most: int = 10) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _text(x: float, y: float, text: str, *, anchor: str, colour: str = "#5b6b79", more: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="11" {more}>'
        f"{escape(text)}</text>"
    )


def _svg(parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'font-family="system-ui, sans-serif">{"".join(parts)}</svg>'
    )
