import hashlib
import random
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from tabular.hashing import hash_texts, hash_words

# The values of the algorithm's own self-test (https://github.com/Cyan4973/xxHash, cli/xsum_sanity_check.c), seed 0.
OFFICIAL = {
    0: 0xEF46DB3751D8E999,
    1: 0xE934A84ADB052768,
    4: 0x9136A0DCA57457EE,
    14: 0x8282DCC4994E35C8,
    222: 0xB641AE8CB691C174,
}
# SHA-256 of the big-endian hashes of the first 0, 1 ... 256 bytes, calculated with the authors' library (xxhash 3.6).
EVERY_LENGTH = "63bd39eda9f7cf7f2b64624c0b4cb3fa987db835255ea67c99c9a6aa776cb4e7"
TEXTS = {
    "": 0xEF46DB3751D8E999,
    "a": 0xD24EC4F1A98C6E5B,
    "abc": 0x44BC2CF5AD770999,
    "wést": 0xD247F4E5F1DAA94E,
    "日本語": 0x7179A19F3719F5E1,
    "😀": 0x9025B8ABAAE87B80,
    "Nobody inspects the spammish repetition": 0xFBCEA83C8A378BF1,
}


def official_bytes(count: int) -> bytes:
    """Return the pseudo-random bytes of the algorithm's self-test."""
    found, number = bytearray(), 2654435761
    for _ in range(count):
        found.append(number >> 56)
        number = number * 11400714785074694797 % 2**64
    return bytes(found)


def hashes(values: list[bytes] | list[str]) -> list[int]:
    return hash_texts(pa.array(values)).tolist()


def test_the_official_values_are_reached() -> None:
    data = official_bytes(max(OFFICIAL))
    assert hashes([data[:length] for length in OFFICIAL]) == list(OFFICIAL.values())


def test_every_length_is_hashed_as_by_the_authors_library() -> None:
    data = official_bytes(256)
    found = hash_texts(pa.array([data[:length] for length in range(257)], pa.binary()))
    assert hashlib.sha256(found.astype(">u8").tobytes()).hexdigest() == EVERY_LENGTH


def test_texts_are_hashed_by_their_utf8_bytes() -> None:
    assert hashes(list(TEXTS)) == list(TEXTS.values())


@pytest.mark.parametrize(
    "form",
    [
        lambda texts: pa.array(texts, pa.large_string()),
        lambda texts: pa.array(["before", *texts, "after"])[1:-1],
        lambda texts: pa.chunked_array([texts[:3], [], texts[3:]], pa.string()),
        lambda texts: pa.array(texts).dictionary_encode(),
        lambda texts: pa.array([text.encode() for text in texts], pa.large_binary()),
    ],
)
def test_how_texts_are_stored_does_not_matter(form: Callable[[list[str]], pa.Array]) -> None:
    assert hash_texts(form(list(TEXTS))).tolist() == list(TEXTS.values())


def test_one_value_is_hashed_as_among_many_of_any_length() -> None:
    chance = random.Random(1)
    texts = [
        "".join(chance.choices("abc xyzé€", k=chance.choice([3, 8, 20, chance.randrange(400)]))) for _ in range(1500)
    ]
    texts += ["x" * 50_000, ""] * 2
    assert hashes(texts) == [hashes([text])[0] for text in texts]


def test_more_values_than_are_taken_at_once_keep_their_order() -> None:
    numbers = pa.array(np.arange(100_000)).cast(pa.string())
    found = hash_texts(numbers)
    assert len(np.unique(found)) == len(numbers)
    for place in (0, 32_767, 32_768, 99_999):
        assert found[place] == hash_texts(numbers[place : place + 1])[0]


def test_what_is_missing_or_empty_has_its_own_value() -> None:
    assert hashes([None, "", None, "a"]) == [0, TEXTS[""], 0, TEXTS["a"]]
    assert hash_texts(pa.array([None, None], pa.string())).tolist() == [0, 0]
    assert hash_texts(pa.array([], pa.string())).tolist() == []
    assert hash_texts(pa.array(["a", None]).dictionary_encode()).tolist() == [TEXTS["a"], 0]
    assert hash_texts(pa.array([None], pa.dictionary(pa.int8(), pa.string()))).tolist() == [0]


@pytest.mark.parametrize("count", range(1, 14))
def test_words_are_hashed_as_their_little_endian_bytes(count: int) -> None:
    words = np.frombuffer(official_bytes(80 * count), "<u8").reshape(10, count)
    assert hash_words(iter(words.T)).tolist() == hashes([row.tobytes() for row in words])
