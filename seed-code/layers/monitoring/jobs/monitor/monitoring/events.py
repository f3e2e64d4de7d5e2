"""Captured events that need not be decoded one by one to be counted.

Most events hold one plain record, and most of them are only counted: a sample of the records is what monitors look at.
So Arrow reads a block of lines at once, and tells which of its events surely hold one record that the endpoint has
read, and by which name it is known. All others, in whatever form they are, are left to `monitoring.capture`.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from monitoring.package import Package

Mask = npt.NDArray[np.bool_]
Ranks = npt.NDArray[np.uint64]

FEWEST_LINES = 64  # fewer are decoded one by one
BLOCK_BYTES = 1 << 20
NUMBER = r"[-+0-9.eE]+"

_PART = pa.struct([("data", pa.string()), ("encoding", pa.string()), ("observedContentType", pa.string())])
_EVENT = pa.schema(
    [
        ("captureData", pa.struct([("endpointInput", _PART), ("endpointOutput", _PART)])),
        ("eventMetadata", pa.struct([("eventId", pa.string()), ("inferenceId", pa.string())])),
    ]
)
_BODY = pa.schema([("body", pa.string())])
_CONTENT_TYPES = {"CSV": "text/csv", "JSON": "application/json"}
_JSON = pa.array(["application/json", "application/jsonlines", "application/jsonl", "application/x-ndjson"])


def single_records(lines: Sequence[bytes], package: Package | None) -> tuple[Mask, pa.StringArray]:
    """Return which lines surely hold one record that can be read, and the names of these events.

    Args:
        lines: Lines of captured data.
        package: The package that the endpoint serves. None: an event that has a name will do, whatever it holds.
    """
    sure = np.zeros(len(lines), np.bool_)
    names: list[pa.StringArray] = []
    ranges = [(0, len(lines))]
    while ranges:
        start, end = ranges.pop()
        if end - start < FEWEST_LINES:
            continue
        some = lines[start:end]
        table = _parsed(b"\n".join(some), _EVENT, rows=len(some), longest=max(map(len, some)))
        if table is None:  # some line is not one: the others are looked for in both halves, the first one first
            middle = (start + end) // 2
            ranges += [(middle, end), (start, middle)]
            continue
        found, known = _single(table, package)
        sure[start:end] = found
        names.append(known)
    return sure, pa.concat_arrays(names) if names else pa.array([], pa.string())


def _single(table: pa.Table, package: Package | None) -> tuple[Mask, pa.StringArray]:
    """Return which events hold one record, and their names."""
    captured, metadata = (table.column(name).combine_chunks() for name in ("captureData", "eventMetadata"))
    name = metadata.field("inferenceId")
    name = pc.coalesce(pc.if_else(pc.equal(name, ""), None, name), metadata.field("eventId"))
    sure = _mask(pc.is_valid(name))
    if package:
        request, answer = (captured.field(part) for part in ("endpointInput", "endpointOutput"))
        sure &= _is_request(request, package)
        sure &= _mask(pc.is_null(answer)) | _is_answer(answer, package)
    return sure, name.filter(pa.array(sure))


def _is_request(part: pa.StructArray, package: Package) -> Mask:
    """Tell which inputs are one record."""
    text, kind = _content(part)
    is_json, is_csv = _mask(pc.is_in(kind, value_set=_JSON)), _mask(pc.equal(kind, "text/csv"))
    return _where(is_json, text, _are_flat) | _where(is_csv, text, lambda some: _are_rows(some, package))


def _is_answer(part: pa.StructArray, package: Package) -> Mask:
    """Tell which outputs can be read as answers."""
    text, kind = _content(part)
    is_csv = _mask(pc.equal(kind, "text/csv"))
    row = {"binary": rf"^{NUMBER},[^,\"\r\n]*\r?\n?$", "regression": rf"^{NUMBER}\r?\n?$"}
    pattern = row.get(package.schema.problem_type, "^$")
    found = _where(~is_csv, text, _are_objects)
    return found | _where(is_csv, text, lambda some: _mask(pc.match_substring_regex(some, pattern)))


def _where(wanted: Mask, text: pa.StringArray, judge: Callable[[pa.StringArray], Mask]) -> Mask:
    """Return what is judged of some of the texts; null, and all others, are not right."""
    wanted = wanted & _mask(pc.is_valid(text))
    if wanted.any():
        wanted[wanted] = judge(text.filter(pa.array(wanted)))
    return wanted


def _are_rows(text: pa.StringArray, package: Package) -> Mask:
    """Tell which CSV texts are one record without header, of as many fields as one of the layouts has."""
    names = [column.name for column in package.schema.columns]
    roles = [column.role for column in package.schema.columns]
    fields = {len(names), sum(role != "label" for role in roles), sum(role == "feature" for role in roles)}
    plain = _mask(pc.match_substring_regex(text, r"^[^\";\t|\r\n]*\r?\n?$"))
    count = pc.count_substring(text, ",").to_numpy(zero_copy_only=False) + 1
    first = pc.utf8_trim_whitespace(pc.replace_substring_regex(text, pattern=r",(?s:.*)$", replacement=""))
    is_header = _mask(pc.is_in(first, value_set=pa.array(names, pa.string())))
    return plain & np.isin(count, sorted(fields)) & ~is_header & (count > 1)


def _content(part: pa.StructArray) -> tuple[pa.StringArray, pa.StringArray]:
    """Return text and content type of inputs or outputs; null where there is none or it cannot be decoded."""
    text, encoding, kind = (
        pc.if_else(pc.is_valid(part), part.field(name), None) for name in ("data", "encoding", "observedContentType")
    )
    encoding = _mapped(encoding, lambda value: "CSV" if value is None else value.upper())
    kind = pc.coalesce(pc.if_else(pc.equal(kind, ""), None, kind), _mapped(encoding, _default_kind))
    kind = _mapped(kind, lambda value: None if value is None else value.split(";")[0].strip().lower())
    packed = _mask(pc.equal(encoding, "BASE64"))
    if packed.any():
        mask = pa.array(packed)
        text = pc.replace_with_mask(text, mask, pa.array(map(_unpacked, text.filter(mask).to_pylist()), pa.string()))
    known = pc.is_in(encoding, value_set=pa.array(["CSV", "JSON", "BASE64"]))
    return pc.if_else(known, text, None), kind


def _default_kind(encoding: str | None) -> str:
    return _CONTENT_TYPES.get(str(encoding), "application/json")


def _mapped(values: pa.StringArray, function: Any) -> pa.StringArray:
    """Return what a function makes of texts, each different one once."""
    coded = values.dictionary_encode(null_encoding="encode")
    made = pa.array([function(value) for value in coded.dictionary.to_pylist()], pa.string())
    return made.take(coded.indices)


def _unpacked(text: str | None) -> str | None:
    """Return what BASE64 encodes, None where it is not BASE64."""
    try:
        return None if text is None else binascii.a2b_base64(text).decode("utf-8-sig")
    except ValueError:
        return None


def _are_flat(text: pa.StringArray) -> Mask:
    """Tell which texts are JSON objects without lists and objects inside, so none of the wrappers of requests."""
    content = _lines(text)
    # Nearly always all of them are; it is quick to see, as each line is an object.
    if content.count(b"{") == content.count(b"\n") == len(text) and b"[" not in content:
        return _all_objects(content, text)
    flat = _mask(pc.match_substring_regex(text, r"^\s*\{[^\[{\n]*\}\s*$"))
    return _where(flat, text, lambda some: _all_objects(_lines(some), some))


def _are_objects(text: pa.StringArray) -> Mask:
    """Tell which texts are JSON objects of one line."""
    single = _mask(pc.match_substring_regex(text, r"^\s*\{[^\n]*\}\s*$"))
    return _where(single, text, lambda some: _all_objects(_lines(some), some))


def _all_objects(content: bytes, text: pa.StringArray) -> Mask:
    """Tell whether all lines are JSON objects, and not the body of a request that API Gateway has passed on."""
    table = _parsed(content, _BODY, rows=len(text), longest=pc.max(pc.binary_length(text)).as_py())
    return np.full(len(text), table is not None and table.column("body").null_count == len(text))


def _lines(text: pa.StringArray) -> bytes:
    """Return texts as lines."""
    lines = pc.binary_join_element_wise(text, "", "\n")
    return bytes(memoryview(lines.buffers()[2])[: pc.sum(pc.binary_length(lines)).as_py()])


def _parsed(content: bytes, schema: pa.Schema, *, rows: int, longest: int) -> pa.Table | None:
    """Return lines of JSON as a table; None if they are not as many objects of this form."""
    try:
        table = pa_json.read_json(
            pa.BufferReader(content),
            read_options=pa_json.ReadOptions(block_size=max(BLOCK_BYTES, longest + 2)),
            parse_options=pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except pa.ArrowException:
        return None
    return table if table.num_rows == rows else None


def _mask(column: pa.BooleanArray) -> Mask:
    """Return a column of booleans as an array; null counts as false."""
    return np.asarray(pc.fill_null(column, False).to_numpy(zero_copy_only=False))


# ---- the order of a sample ------------------------------------------------------------------------------------------


def ranks(names: pa.StringArray, positions: npt.NDArray[np.int64]) -> Ranks:
    """Return a hash of each record, by the name of its event and its position in the request.

    The mixing is that of SplitMix64 (Steele, Lea and Flood 2014), applied to the name eight bytes at a time.
    """
    state = _mixed(positions.astype(np.uint64) + np.uint64(1))
    lengths = pc.binary_length(names).to_numpy(zero_copy_only=False).astype(np.int64)
    width = -(-int(lengths.max(initial=0)) // 8) * 8
    if width:
        words = _padded(names, lengths, width).view("<u8").reshape(len(names), -1)
        for place in range(words.shape[1]):
            state = np.where(lengths > 8 * place, _mixed(state ^ words[:, place]), state)
    return state


def _padded(names: pa.StringArray, lengths: npt.NDArray[np.int64], width: int) -> npt.NDArray[Any]:
    """Return the bytes of texts, each filled up with zeros."""
    if lengths.min() < lengths.max():
        return np.array(names.cast(pa.binary()).to_pylist(), dtype=f"S{width}")
    size = int(lengths[0])
    names = pa.concat_arrays([names, names.slice(0, 0)])  # without an offset
    raw = np.frombuffer(names.buffers()[2], np.uint8, count=size * len(names)).reshape(len(names), size)
    return np.pad(raw, [(0, 0), (0, width - size)])


def _mixed(state: Ranks) -> Ranks:
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
