import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tabular_jobs import arrow_columns, shop_records

from tabular import former_split
from tabular.config import Splits
from tabular.division import SPLITS, divide, explain, hash_keys, hash_records, position
from tabular.hashing import hash_texts
from tabular.schema import KEY, Column, Schema

VECTORS = json.loads((Path(__file__).parent / "split_vectors.json").read_text(encoding="utf-8"))["vectors"]
DOCUMENT = (Path(__file__).parents[1] / "docs" / "split.md").read_text(encoding="utf-8")
USUAL = Splits(0.7, 0.15, 0.15)


def schema(*columns: Column) -> Schema:
    return Schema(
        label="y",
        problem_type="binary",
        classes=("no", "yes"),
        class_rows=(1, 1),
        columns=columns,
        rows=2,
        unlabelled_rows=0,
        files=(),
    )


def column_of(part: object, name: str) -> Column:
    """Return the key column that Validate finds for values like this."""
    return Column(name, "number", KEY, whole=True) if isinstance(part, int) else Column(name, "category", KEY)


def divided(records: pd.DataFrame, *columns: Column, shares: Splits = USUAL, seed: int = 0) -> list[str]:
    return list(divide(arrow_columns(records), schema(*columns), shares, seed))


# ---- as in SQL ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['seed']}-{vector['key']}")
def test_keys_are_divided_as_the_vectors_say(vector: dict[str, Any]) -> None:
    parts = {f"part{number}": pa.array([part]) for number, part in enumerate(vector["key"])}
    columns = [column_of(part, f"part{number}") for number, part in enumerate(vector["key"])]
    hashes = hash_keys(list(parts.values()), vector["seed"])
    assert f"{hashes[0]:016x}" == vector["hash"]
    assert position(hashes)[0] == vector["share"]
    assert divide(parts, schema(*columns), Splits(*vector["shares"]), vector["seed"]).tolist() == [vector["split"]]


@pytest.fixture
def trino() -> Iterator[sqlite3.Connection]:
    """A database with the functions that the queries call, as Trino's documentation describes them.

    https://trino.io/docs/current/functions/binary.html, bitwise.html (the shift is a logical one) and string.html.
    """
    database = sqlite3.connect(":memory:")
    functions = {
        "to_utf8": (1, lambda text: text.encode()),
        "xxhash64": (1, lambda data: hash_texts(pa.array([data], pa.binary())).astype(">u8").tobytes()),
        "from_big_endian_64": (1, lambda data: int.from_bytes(data, "big", signed=True)),
        "bitwise_right_shift": (2, lambda value, by: value % 2**64 >> by),
        "chr": (1, chr),
    }
    for name, (arguments, function) in functions.items():
        database.create_function(name, arguments, function, deterministic=True)
    database.execute("CREATE TABLE customers (customer_id INTEGER, email VARCHAR)")
    yield database
    database.close()


def test_the_queries_of_the_document_find_the_same_shares_and_splits(trino: sqlite3.Connection) -> None:
    of_numbers, of_texts, of_both = re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL)
    usual = {tuple(v["key"]): v for v in VECTORS if v["seed"] == 0 and v["shares"] == [0.7, 0.15, 0.15]}
    answered = 0
    for key, vector in usual.items():
        number, text = key if len(key) == 2 else (key[0], None) if isinstance(key[0], int) else (None, key[0])
        trino.execute("DELETE FROM customers")
        trino.execute("INSERT INTO customers VALUES (?, ?)", (number, text and f" {text}  "))
        if len(key) == 2:
            assert trino.execute(of_both).fetchall() == [(number, f" {text}  " if text else None, vector["share"])]
        elif text is None:
            assert trino.execute(of_numbers).fetchall() == [(number, vector["split"])]
        else:
            assert trino.execute(of_texts).fetchall() == [(f" {text}  ", vector["share"])]
        answered += 1
    assert answered > 30


def test_a_whole_number_is_the_same_key_as_its_text() -> None:
    numbers = pd.DataFrame({"k": pd.Series(range(-500, 500), dtype="Int64")})
    texts = pd.DataFrame({"k": pd.Series(numbers["k"].astype(str), dtype=object)})
    assert divided(numbers, Column("k", "number", KEY, whole=True)) == divided(texts, Column("k", "category", KEY))


def test_the_log_says_whether_sql_can_repeat_the_division() -> None:
    feature = Column("spent", "number")
    assert "as there is no record key: SQL cannot" in explain(schema(feature))
    one, other = Column("b", "category", KEY), Column("a", "number", KEY, whole=True, missing=3)
    assert explain(schema(one, feature)) == "Records are divided by b. SQL can repeat it: docs/split.md says how."
    assert explain(schema(one, other)).startswith("Records are divided by a, b. SQL can repeat it: ")
    assert "by a. SQL can repeat it except for records that lack their key: " in explain(schema(other))
    day = Column("day", "date", KEY)
    assert explain(schema(one, day)).endswith("SQL cannot repeat it: day is neither text nor whole numbers.")


# ---- without such a key ---------------------------------------------------------------------------------------------


def typed(**changes: object) -> dict[str, pa.Array]:
    """Return three records with a column of every kind."""
    columns = {
        "text": pa.array(["a", None, "wést"]),
        "flag": pa.array([True, False, None]),
        "count": pa.array([1, None, 3], pa.int64()),
        "size": pa.array([0.5, None, 2.0]),
        "day": pa.array([0, 1, None], pa.timestamp("us")),
    }
    return columns | changes


def test_the_hash_of_a_record_is_what_the_document_of_the_function_says() -> None:
    one = hash_records({"flag": pa.array([True]), "size": pa.array([-0.0]), "text": pa.array([None], pa.string())}, 7)

    def hashed(*words: bytes) -> bytes:
        return hash_texts(pa.array([b"".join(words)], pa.binary())).astype("<u8").tobytes()

    def word(number: int) -> bytes:
        return number.to_bytes(8, "little")

    assert one.astype("<u8").tobytes() == hashed(word(7), hashed(word(1)), hashed(word(0)), word(0))


@pytest.mark.parametrize(
    "changes",
    [
        {"count": pa.array([1.0, None, 3.0])},  # whole or not
        {"count": pa.array([1, None, 3], pa.int8())},
        {"size": pa.array([0.5, float("nan"), 2.0])},
        {"text": pa.array(["a", None, "wést"]).dictionary_encode()},
        {"text": pa.array(["a", None, "wést"], pa.large_string())},
        {"day": pa.array([0, 1000, None], pa.timestamp("ns"))},
    ],
)
def test_how_a_column_is_stored_does_not_matter(changes: dict[str, pa.Array]) -> None:
    assert hash_records(typed(**changes)).tolist() == hash_records(typed()).tolist()


def test_the_order_of_columns_does_not_matter() -> None:
    assert hash_records(dict(reversed(typed().items()))).tolist() == hash_records(typed()).tolist()


@pytest.mark.parametrize(
    ("changes", "other"),
    [
        ({"count": pa.array([2, None, 3], pa.int64())}, [0]),
        ({"count": pa.array([1, 0, 3], pa.int64())}, [1]),  # nothing is not zero
        ({"flag": pa.array([True, None, False])}, [1, 2]),
        ({"text": pa.array(["A", "", "west"])}, [0, 1, 2]),
        ({"day": pa.array([0, 2, 0], pa.timestamp("us"))}, [1, 2]),
    ],
)
def test_another_value_is_another_record(changes: dict[str, pa.Array], other: list[int]) -> None:
    assert np.flatnonzero(hash_records(typed(**changes)) != hash_records(typed())).tolist() == other


def test_great_whole_numbers_are_told_apart() -> None:
    numbers = [2**53 - 1, 2**53, 2**53 + 1, 2**53 + 2, 2**63 - 1, 2**63 - 2, -(2**63), 1 - 2**63]
    assert len(set(hash_records({"n": pa.array(numbers, pa.int64())}).tolist())) == len(numbers)
    as_doubles = hash_records({"n": pa.array([float(2**53), float(-(2**63))])}).tolist()
    assert as_doubles == hash_records({"n": pa.array([2**53, -(2**63)], pa.int64())}).tolist()


def test_two_zeros_are_one_number() -> None:
    first, second = hash_records({"n": pa.array([0.0, -0.0])})
    assert first == second


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("date", pd.Series(pd.to_datetime(["2024-01-01", "2024-01-02"] * 50)).astype("datetime64[us]")),
        ("boolean", pd.Series([True, False] * 50, dtype="boolean")),
        ("number", pd.Series([0.5, 1.5] * 50)),
    ],
)
def test_records_of_a_key_of_another_kind_stay_together(kind: str, values: pd.Series) -> None:
    records = pd.DataFrame({"key": values, "n": range(100)})
    splits = divided(records, Column("key", kind, KEY), Column("n", "number", whole=True))
    for key in range(2):
        assert len(set(splits[key::2])) == 1


def test_records_without_key_are_divided_by_all_their_values() -> None:
    records = pd.DataFrame({"key": pd.Series([None] * 3000, dtype=object), "n": pd.Series(range(3000), dtype="Int64")})
    columns = (Column("key", "category", KEY), Column("n", "number", whole=True))
    assert divided(records, *columns) == divided(records, Column("key", "category"), columns[1])
    assert divided(records, *columns).count("train") == pytest.approx(2100, abs=100)
    partly = records.assign(other=pd.Series(["same"] * 3000, dtype=object))
    assert len(set(divided(partly, *columns, Column("other", "category", KEY)))) == 1


# ---- as divisions should be -----------------------------------------------------------------------------------------


def many(rows: int = 20_000) -> tuple[pd.DataFrame, list[Column]]:
    records = pd.DataFrame({"k": pd.Series(range(rows), dtype="Int64"), "x": np.arange(rows) / 8})
    return records, [Column("k", "number", KEY, whole=True), Column("x", "number")]


@pytest.mark.parametrize("keyed", [True, False])
def test_shares_are_within_the_bounds_of_chance(keyed: bool) -> None:
    records, columns = many()
    shares = Splits(0.5, 0.3, 0.2)
    splits = divided(records, *(columns if keyed else columns[1:]), shares=shares)
    for split, share in zip(SPLITS, (0.5, 0.3, 0.2), strict=True):
        deviation = (len(splits) * share * (1 - share)) ** 0.5
        assert splits.count(split) == pytest.approx(len(splits) * share, abs=3.3 * deviation)


@pytest.mark.parametrize("keyed", [True, False])
def test_the_divisions_of_two_seeds_are_independent(keyed: bool) -> None:
    records, columns = many()
    columns = columns if keyed else columns[1:]
    for one, other in ((0, 1), (1, 10), (7, 8)):
        seen = pd.crosstab(*(np.array(divided(records, *columns, seed=seed)) for seed in (one, other))).to_numpy()
        expected = np.outer(seen.sum(axis=1), seen.sum(axis=0)) / seen.sum()
        assert ((seen - expected) ** 2 / expected).sum() < 18.5  # 4 degrees of freedom: one in a thousand is above


def test_a_record_stays_in_its_split_whatever_is_around_it() -> None:
    records, columns = many(5000)
    shuffled = records.sample(frac=1, random_state=1)
    for used in (columns, columns[1:]):
        splits = pd.Series(divided(records, *used))
        assert splits[shuffled.index].tolist() == divided(shuffled[["x", "k"]], *reversed(used))
        assert splits[:1000].tolist() == divided(records[:1000], *used)


# ---- version 1 ------------------------------------------------------------------------------------------------------


def test_the_division_of_version_1_is_still_known() -> None:
    records = shop_records(60)[["customer", "spent", "visits"]]
    kinds = (Column("customer", "category", KEY), Column("spent", "number"), Column("visits", "number", whole=True))
    by_key = former_split.divide(arrow_columns(records), schema(*kinds), USUAL, 0)
    by_record = former_split.divide(
        arrow_columns(records), schema(Column("customer", "category"), *kinds[1:]), USUAL, 3
    )
    letters = {"train": "r", "validation": "v", "test": "e"}
    assert "".join(letters[split] for split in by_key) == "eerervrrrerrvrrrrerrrrrvrrrerrrererrrrvrerrerrrrvrrrvrrrrvrv"
    assert (
        "".join(letters[split] for split in by_record) == "rrrerrvevrrrrrererrrvrrerrrrrrvrrerrrrrrrrrerrrrrrrrerrrevrr"
    )
