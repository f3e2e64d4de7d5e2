"""A PDF file of plain lines, written by hand: nothing here needs more of the format."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_LINES_PER_PAGE: Final = 60
_SIZE: Final = 10
_LEADING: Final = 12
_PAGE: Final = (595, 842)
"""A4, in points."""

_MARGIN: Final = 40
_CHARACTERS_PER_LINE: Final = int((_PAGE[0] - 2 * _MARGIN) / (0.6 * _SIZE))
"""Every character of Courier is 0.6 as wide as the font is high."""


def document(title: str, lines: Iterable[str]) -> bytes:
    """Return a PDF document.

    Args:
        title: Its title.
        lines: Its text; long lines are wrapped, and characters that Latin-1 lacks become question marks.
    """
    wrapped = [part for line in lines for part in _wrapped(line)]
    pages = [wrapped[at : at + _LINES_PER_PAGE] for at in range(0, len(wrapped), _LINES_PER_PAGE)] or [[]]
    # Objects: 1 catalogue, 2 list of pages, 3 font, 4 information, then for each page its description and its content.
    kids = " ".join(f"{5 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier /Encoding /WinAnsiEncoding >>",
        b"<< /Title " + _text(title) + b" >>",
    ]
    for number, page in enumerate(pages):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {_PAGE[0]} {_PAGE[1]}] /Contents {6 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        content = f"BT /F1 {_SIZE} Tf {_LEADING} TL {_MARGIN} {_PAGE[1] - 50} Td\n".encode()
        content += b"".join(_text(line) + b" Tj T*\n" for line in page) + b"ET"
        objects.append(f"<< /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream")
    return _file(objects)


def _wrapped(line: str) -> list[str]:
    """Return a line in parts that fit the page, further parts indented below the first."""
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.wrap(line, _CHARACTERS_PER_LINE, subsequent_indent=indent) or [""]


def _text(text: str) -> bytes:
    """Return a text as a PDF string."""
    raw = text.encode("latin-1", errors="replace")
    return b"(" + raw.replace(b"\\", rb"\\").replace(b"(", rb"\(").replace(b")", rb"\)") + b")"


def _file(objects: list[bytes]) -> bytes:
    """Return the objects with the table that says where each of them begins."""
    body = b"%PDF-1.4\n"
    offsets = []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    table = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    table += "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return body + table.encode() + trailer.encode()
