"""The report as one small HTML page with its pictures in it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

MOST_PICTURES = 6
WIDTH, BAR, LEFT = 640, 20, 190
COLOURS = {"ok": "#1a7f37", "violations": "#b42318"}
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1f2328;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:0}h2{font-size:1.15rem;margin:2rem 0 .3rem}h3{font-size:1rem;margin:1.2rem 0 .2rem}
table{border-collapse:collapse;width:100%;margin:.6rem 0}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d0d7de}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.muted{color:#59636e}
.verdict{color:#fff;border-radius:1rem;padding:.1rem .7rem;font-size:.85rem}svg{max-width:100%;height:auto}
"""


def render(report: Mapping[str, Any]) -> str:
    """Return the page of a report (the content of ``report.json``)."""
    window, records = report["window"], report["records"]
    parts = [
        f"<h1>Monitors of {_text(report['endpoint'])}</h1>",
        f'<p class="muted">{_time(window["start"])} to {_time(window["end"])} · {_text(report["package"])}</p>',
        f"<p>{records['captured']} records captured, {records['sampled']} of them examined, "
        f"{records['unreadable']} requests unreadable. {_labels(**report['labels'])}</p>",
    ]
    for monitor in report["monitors"]:
        parts += _monitor(monitor)
    if records["examples"]:
        items = "".join(f"<li><code>{_text(example)}</code></li>" for example in records["examples"])
        parts.append(f"<h2>Unreadable requests, examples</h2><ul>{items}</ul>")
    body = "\n".join(parts)
    title = f"Monitors of {_text(report['endpoint'])}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body>\n{body}\n</body></html>\n"
    )


def _monitor(result: Mapping[str, Any]) -> list[str]:
    colour = COLOURS.get(result["verdict"], "#59636e")
    badge = f'<span class="verdict" style="background:{colour}">{_text(result["verdict"])}</span>'
    parts = [f"<h2>{_text(result['monitor'])} {badge}</h2>", f"<p>{_text(result['reason'])}</p>"]
    if result["violations"]:
        rows = "".join(
            f"<tr><td>{_text(found['metric'])}</td><td>{_text(found['feature'])}</td>"
            f'<td class="n">{found["value"]:.4g}</td><td class="n">{found["threshold"]:.4g}</td>'
            f"<td>{_text(found['description'])}</td></tr>"
            for found in result["violations"]
        )
        head = '<tr><th>metric</th><th>column</th><th class="n">value</th><th class="n">limit</th><th></th></tr>'
        parts.append(f"<table>{head}{rows}</table>")
    details = result["details"]
    if "features" in details:
        parts += _features(details["features"])
    if "metrics" in details:
        rows = [(name, item["value"], item["limit"]) for name, item in details["metrics"].items()]
        parts.append(bar_chart(rows, ("now", "limit")))
    for label, item in details.get("labels", {}).items():
        names = sorted(item["baseline"], key=lambda name: -item["baseline"][name])[:12]
        rows = [(name, item["current"].get(name, 0.0), item["baseline"][name]) for name in names]
        parts.append(f"<h3>Attributions, {_text(label)}: NDCG {item['ndcg']:.3f}</h3>")
        parts.append(bar_chart(rows, ("now", "on the test records")))
    for facet, item in details.get("facets", {}).items():
        values = ", ".join(f"{name} {item[name]:.3f}" for name in ("DPPL", "DI", "DAR", "RD") if name in item)
        sizes = f"{item['d']['records']} records in the named group, {item['a']['records']} others"
        parts.append(f"<p>{_text(facet)}: {values or _text(item.get('note', ''))} ({sizes})</p>")
    return parts


def _features(features: Mapping[str, Any]) -> list[str]:
    """Return the distances of all columns, and the distributions of those that differ most."""
    measured = {name: item for name, item in features.items() if "distance" in item}
    ordered = sorted(measured, key=lambda name: (-measured[name]["distance"], name))
    rows = [(name, measured[name]["distance"], measured[name]["distance_threshold"]) for name in ordered[:20]]
    parts = ["<h3>Distance from the training data</h3>", bar_chart(rows, ("distance", "limit"))] if rows else []
    for name in [name for name in ordered if measured[name]["distance"] > 0][:MOST_PICTURES]:
        bars = [(bar["label"], bar["current"], bar["baseline"]) for bar in measured[name]["histogram"]]
        parts += [f"<h3>{_text(name)}</h3>", bar_chart(bars, ("now", "in training"))]
    return parts


def bar_chart(rows: Sequence[tuple[str, float, float]], names: tuple[str, str]) -> str:
    """Return a picture (SVG) of two values per row, the first as a bar and the second as a line across it."""
    largest = max([abs(value) for row in rows for value in row[1:]] or [0.0]) or 1.0
    scale = (WIDTH - LEFT - 70) / largest
    marks = []
    for number, (label, value, mark) in enumerate(rows):
        top = 24 + number * (BAR + 6)
        short = label if len(label) <= 26 else label[:25] + "…"
        marks.append(
            f'<text x="{LEFT - 8}" y="{top + 14}" text-anchor="end"><title>{_text(label)}</title>{_text(short)}</text>'
            f'<rect x="{LEFT}" y="{top}" width="{abs(value) * scale:.1f}" height="{BAR}" fill="#4c78a8"/>'
            f'<rect x="{LEFT + abs(mark) * scale - 1.5:.1f}" y="{top - 2}" width="3" height="{BAR + 4}" '
            f'fill="#e4572e"/>'
            f'<text x="{LEFT + max(abs(value), abs(mark)) * scale + 8:.1f}" y="{top + 14}" '
            f'fill="#4c78a8">{value:.3g}</text>'
        )
    legend = (
        f'<rect x="{LEFT}" y="4" width="10" height="10" fill="#4c78a8"/><text x="{LEFT + 14}" y="13">{names[0]}</text>'
        f'<rect x="{LEFT + 104}" y="4" width="3" height="10" fill="#e4572e"/>'
        f'<text x="{LEFT + 112}" y="13">{names[1]}</text>'
    )
    height = 30 + len(rows) * (BAR + 6)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" '
        f'font-family="system-ui,sans-serif" font-size="12">{legend}{"".join(marks)}</svg>'
    )


def _time(text: str) -> str:
    """Return a time as people read it, to the minute."""
    return _text(text[:16].replace("T", " ") + (" UTC" if text.endswith(("Z", "+00:00")) else text[19:]))


def _labels(*, arrived: int, joined: int) -> str:
    return f"{arrived} labels arrived, {joined} of them for a captured record." if arrived else "No labels arrived."


def _text(value: object) -> str:
    return html.escape(str(value))
