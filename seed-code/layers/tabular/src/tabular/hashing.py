"""XXH64 of many values at once.

The published algorithm (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md) with seed 0, which SQL engines
have too: ``xxhash64`` of Trino and of Athena. Here it runs step by step over whole NumPy columns, never value by value.
"""

from collections.abc import Iterable
from functools import reduce

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Words = npt.NDArray[np.uint64]

_PRIME_1, _PRIME_2, _PRIME_3, _PRIME_4, _PRIME_5 = (
    np.uint64(prime)
    for prime in (
        0x9E3779B185EBCA87,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0x85EBCA77C2B2AE63,
        0x27D4EB2F165667C5,
    )
)
# The four accumulators at the start: prime 1 + prime 2, prime 2, nothing, -prime 1.
_LANES = tuple(map(np.uint64, (0x60EA27EEADC0B5D6, 0xC2B2AE3D27D4EB4F, 0, 0x61C8864E7A143579)))

_STRIPE = 32  # bytes that the four accumulators take at once
_ROWS_AT_ONCE = 32_768  # columns of this length stay in the processor's cache from one step to the next


def hash_texts(values: pa.Array | pa.ChunkedArray) -> Words:
    """Return the hash of every text (its UTF-8 bytes) or binary value; 0 where there is none.

    Args:
        values: Texts or binary values; of a dictionary array, each entry of the dictionary is hashed once.
    """
    if isinstance(values, pa.ChunkedArray):
        return np.concatenate([np.empty(0, np.uint64), *map(hash_texts, values.chunks)])
    if pa.types.is_dictionary(values.type):
        codes = values.indices.fill_null(0).to_numpy(zero_copy_only=False)
        hashes = hash_texts(values.dictionary)[codes] if len(values.dictionary) else np.zeros(len(values), np.uint64)
    else:
        hashes = np.concatenate(
            [
                np.empty(0, np.uint64),
                *(_hash_slice(values.slice(start, _ROWS_AT_ONCE)) for start in range(0, len(values), _ROWS_AT_ONCE)),
            ]
        )
    if values.null_count:
        hashes[values.is_null().to_numpy(zero_copy_only=False)] = 0
    return hashes


def hash_words(columns: Iterable[npt.NDArray[np.uint64]]) -> Words:
    """Return the hash of every row of 64-bit words, each taken as its eight little-endian bytes.

    Args:
        columns: First word of all rows, second word of all rows, and so on. An iterator is read as it comes, so no more
            than four columns have to exist at once.
    """
    lanes: list[Words] = []
    rest: list[Words] = []
    count = 0
    for column in columns:
        rest.append(column)
        count += 1
        if len(rest) == len(_LANES):
            lanes = [_round(lane, word) for lane, word in zip(lanes or _LANES, rest, strict=True)]
            rest = []
    state = (_merged(lanes) if lanes else _PRIME_5) + np.full_like(rest[0] if rest else lanes[0], 8 * count)
    return _avalanche(reduce(_add_word, rest, state))


def _hash_slice(values: pa.Array) -> Words:
    """Hash some texts or binary values."""
    wide = pa.types.is_large_string(values.type) or pa.types.is_large_binary(values.type)
    _, offset_buffer, data = values.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64 if wide else np.int32)
    offsets = offsets[values.offset : values.offset + len(values) + 1].astype(np.int64)
    at, lengths = offsets[:-1].copy(), np.diff(offsets)
    bytes_, halves, words = (_unaligned(data, size) for size in (1, 4, 8))
    state = np.full(len(values), _PRIME_5)
    if (long := np.flatnonzero(lengths >= _STRIPE)).size:
        state[long] = _hash_stripes(words, at[long], lengths[long])
        at += lengths // _STRIPE * _STRIPE
    state += lengths.astype(np.uint64)
    # What is left after the stripes, 0 to 31 bytes, is taken in the same steps by all values with as many bytes left.
    left = (lengths % _STRIPE).astype(np.uint8)
    order = np.argsort(left, kind="stable")
    ends = np.cumsum(np.bincount(left, minlength=_STRIPE))
    for size, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        if start == end:
            continue
        group = order[start:end]
        found, place = state[group], at[group]
        for _ in range(size // 8):
            found = _add_word(found, words[place])
            place += 8
        if size % 8 >= 4:
            found = _rotated(found ^ (halves[place] * _PRIME_1), 23) * _PRIME_2 + _PRIME_3
            place += 4
        for _ in range(size % 4):
            found = _rotated(found ^ (bytes_[place] * _PRIME_5), 11) * _PRIME_1
            place += 1
        state[group] = found
    return _avalanche(state)


def _hash_stripes(words: Words, at: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Words:
    """Take all whole stripes of values that have at least one, and merge the accumulators."""
    order = np.argsort(-lengths, kind="stable")  # so that those with a further stripe are always the first ones
    at, stripes = at[order].copy(), lengths[order] // _STRIPE
    lanes = [np.full(len(at), lane) for lane in _LANES]
    for stripe in range(stripes[0]):
        going = np.searchsorted(-stripes, -stripe, side="left")
        for number, lane in enumerate(lanes):
            lane[:going] = _round(lane[:going], words[at[:going] + 8 * number])
        at[:going] += _STRIPE
    merged = np.empty(len(at), np.uint64)
    merged[order] = _merged(lanes)
    return merged


def _unaligned(data: pa.Buffer | None, size: int) -> Words:
    """Return what begins at each byte of a buffer as a little-endian number of a size, 1, 4 or 8 bytes."""
    places = (data.size if data else 0) - size + 1
    if places <= 0:
        return np.empty(0, np.uint64)
    return np.ndarray(places, f"<u{size}", data, strides=(1,))


def _round(lane: Words | np.uint64, word: Words) -> Words:
    return _rotated(lane + word * _PRIME_2, 31) * _PRIME_1


def _merged(lanes: list[Words]) -> Words:
    state = sum((_rotated(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)), np.zeros_like(lanes[0]))
    for lane in lanes:
        state = (state ^ _round(np.uint64(0), lane)) * _PRIME_1 + _PRIME_4
    return state


def _add_word(state: Words, word: Words) -> Words:
    return _rotated(state ^ _round(np.uint64(0), word), 27) * _PRIME_1 + _PRIME_4


def _avalanche(state: Words) -> Words:
    state = (state ^ (state >> np.uint64(33))) * _PRIME_2
    state = (state ^ (state >> np.uint64(29))) * _PRIME_3
    return state ^ (state >> np.uint64(32))


def _rotated(state: Words, by: int) -> Words:
    return (state << np.uint64(by)) | (state >> np.uint64(64 - by))
