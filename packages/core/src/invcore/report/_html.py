"""Pieces of HTML. Every piece of text passes through `text`: metadata come from files of unknown origin."""

from __future__ import annotations

import base64
import html
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..io._png import encode_png

STYLE = """
:root { color-scheme: light dark; --bg: #f5f7f9; --card: #ffffff; --text: #1f2933; --muted: #5f6b7a;
  --line: #e1e6ec; --accent: #1f6fb2; --chip: #eef2f6; }
@media (prefers-color-scheme: dark) {
  :root { --bg: #12161b; --card: #1a2027; --text: #e6eaf0; --muted: #9aa7b6; --line: #313a46;
    --accent: #6cb3f0; --chip: #232b34; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 48px; }
header { margin-bottom: 24px; }
.brand { color: var(--accent); font-weight: 600; letter-spacing: .04em; font-size: 13px; }
h1 { margin: 4px 0 2px; font-size: 27px; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 0 0 14px; font-size: 17px; }
h3 { margin: 20px 0 10px; font-size: 14px; font-weight: 600; }
h2 + h3 { margin-top: 0; }
.subtitle, .note, figcaption, .scale { color: var(--muted); }
.subtitle { margin: 0; overflow-wrap: anywhere; }
.note { font-size: 13px; margin: 10px 0 0; max-width: 76ch; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 20px 22px;
  margin: 0 0 18px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
  margin-bottom: 18px; }
.figure { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; }
.figure dt { color: var(--muted); font-size: 12.5px; }
.figure dd { margin: 2px 0 0; font-size: 19px; font-weight: 600; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 16px;
  align-items: start; }
.panels.wide { grid-template-columns: repeat(auto-fill, minmax(min(300px, 100%), 1fr)); }
.panels.large { grid-template-columns: repeat(auto-fill, minmax(min(400px, 100%), 1fr)); }
.panels.three { grid-template-columns: repeat(3, 1fr); }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); gap: 18px;
  margin-bottom: 18px; align-items: start; }
.pair section { margin: 0; }
figure { margin: 0; }
figure img { display: block; width: 100%; border-radius: 4px; background: #000; }
figure img.small { image-rendering: pixelated; }
figcaption { font-size: 13px; margin-top: 6px; }
figcaption b { color: var(--text); font-weight: 600; }
.scale { display: flex; align-items: center; gap: 8px; font-size: 12.5px; margin-top: 12px; max-width: 420px;
  font-variant-numeric: tabular-nums; }
.scale img { flex: 1; min-width: 80px; height: 9px; border-radius: 3px; border: 1px solid var(--line); }
.chart { display: block; width: 100%; max-width: 760px; margin: 0 auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
tr:last-child > th, tr:last-child > td { border-bottom: 0; }
thead th { color: var(--muted); font-weight: 500; font-size: 13px; }
tbody th { font-weight: 500; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.record { table-layout: fixed; }
.record th { width: 38%; color: var(--muted); font-weight: 400; overflow-wrap: anywhere; }
.record tr.group th { color: var(--text); font-weight: 600; padding-top: 16px; }
details { border-top: 1px solid var(--line); padding-top: 10px; margin-top: 12px; }
summary { cursor: pointer; color: var(--accent); font-weight: 500; }
details[open] summary { margin-bottom: 8px; }
pre { background: var(--chip); border-radius: 6px; padding: 12px 14px; margin: 0; overflow-x: auto;
  font-size: 13px;
  white-space: pre-wrap; overflow-wrap: anywhere; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
footer { color: var(--muted); font-size: 12.5px; text-align: center; }
@media print { body { background: #fff; } section, .figure { break-inside: avoid; } }
"""


def text(value: Any, *, limit: int = 4000) -> str:
    """Escape a value for HTML; control and direction-changing characters become visible."""
    raw = str(value)
    if len(raw) > limit:
        raw = raw[:limit] + " …"
    shown = "".join(
        c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs") else "\ufffd" for c in raw
    )
    return html.escape(shown, quote=True)


def number(value: float) -> str:
    """A number in four significant digits, without an exponent where it reads well."""
    if value == 0:
        return "0"
    if not np.isfinite(value):
        return "∞" if value > 0 else ("−∞" if value < 0 else "not a number")
    shown = f"{value:.4g}"
    if "e" in shown:
        mantissa, exponent = shown.split("e")
        power = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{mantissa} × 10{power}".replace("-", "−")
    return shown.replace("-", "−")


def data_uri(png: bytes) -> str:
    """A PNG as the value of ``src``."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def picture(
    image: np.ndarray,
    *,
    window: tuple[float, float],
    cmap: str,
    title: str,
    detail: str = "",
    units: str = "",
) -> str:
    """One image with a caption; hovering shows the size."""
    height, width = image.shape
    small = ' class="small"' if max(height, width) <= 96 else ""
    caption = f"<b>{text(title)}</b>" + (f" · {text(detail)}" if detail else "")
    uri = data_uri(encode_png(image, window=window, cmap=cmap))
    return (
        f'<figure><img{small} src="{uri}" width="{width}" height="{height}" '
        f'alt="{text(title)} {text(detail)}" '
        f'style="height:auto" title="{height} × {width} pixels"><figcaption>{caption}</figcaption></figure>'
    )


def color_bar(
    window: tuple[float, float], cmap: str, *, low: str = "", high: str = "", note: str = ""
) -> str:
    """The color map between the two values of the window."""
    strip = np.linspace(0, 1, 256)[None, :].repeat(2, axis=0)
    uri = data_uri(encode_png(strip, window=(0.0, 1.0), cmap=cmap))
    after = f"<span>{text(note)}</span>" if note else ""
    return (
        f'<div class="scale"><span>{text(low or number(window[0]))}</span><img src="{uri}" alt="color bar">'
        f"<span>{text(high or number(window[1]))}</span>{after}</div>"
    )


def section(title: str, *parts: str) -> str:
    """A card with a heading."""
    return f"<section><h2>{text(title)}</h2>{''.join(parts)}</section>"


def key_figures(figures: Mapping[str, Any]) -> str:
    """The row of tiles at the top."""
    tiles = "".join(
        f'<div class="figure"><dt>{text(k)}</dt><dd>{text(v)}</dd></div>' for k, v in figures.items()
    )
    return f'<dl class="figures">{tiles}</dl>'


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table whose first column holds the row headings."""
    top = "".join(f'<th scope="col">{text(h)}</th>' for h in head)
    body = "".join(
        f'<tr><th scope="row">{text(first)}</th>{"".join(f"<td>{text(v)}</td>" for v in rest)}</tr>'
        for first, *rest in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def record_table(record: Mapping[str, Any]) -> str:
    """A nested mapping as rows: single values first, then a group for each mapping in it."""
    single, groups = [], []
    for name, value in record.items():
        leaves = list(_leaves(value))
        if len(leaves) == 1 and leaves[0][0] == "":
            single.append(_row(name, leaves[0][1]))
        else:
            groups.append(f'<tr class="group"><th colspan="2" scope="rowgroup">{text(name)}</th></tr>')
            groups += [_row(key, held) for key, held in leaves]
    return f'<table class="record"><tbody>{"".join(single + groups)}</tbody></table>'


def _row(name: str, value: Any) -> str:
    shown = "—" if value is None or value == "" else _short(value)
    return f'<tr><th scope="row">{text(name)}</th><td>{text(shown)}</td></tr>'


def _short(value: Any) -> str:
    """A value in a table; floating-point numbers in six digits, as the JSON record has all of them."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        if {"shape", "dtype"} <= set(value) <= {"shape", "dtype", "sha256"}:
            size = " × ".join(map(str, value["shape"]))
            yield (
                path,
                f"{value['dtype']} {size}" + (f", sha256 {value['sha256']}…" if value.get("sha256") else ""),
            )
            return
        for key, held in value.items():
            yield from _leaves(held, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(v, Mapping | list | tuple) for v in value):
        for i, held in enumerate(value):
            yield from _leaves(held, f"{path}[{i}]")
    elif isinstance(value, list | tuple):
        yield path, ", ".join(map(_short, value))
    elif isinstance(value, Mapping):
        yield path, None
    else:
        yield path, value


def document(title: str, body: str) -> str:
    """The whole page. Its policy lets it load nothing but the pictures inside it, and run nothing."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title, limit=200)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )
