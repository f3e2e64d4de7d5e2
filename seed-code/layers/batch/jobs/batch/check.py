"""First job of a batch run: set aside the rows that the model cannot score, with the reason, and spread the others.

Every instance takes the files that a hash of their names gives it, so N instances share the input without talking to
each other. Writes below ``batch/<run>/``: ``input/`` (what the model gets), ``keys/`` (where each of these rows came
from, line by line the same), ``rejected/``, and ``check/<instance>.json`` with the counts. The last instance to end
judges the run.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from common import Job, Parts, RunError, main, module
from rows import Row, read

from monitoring import package
from monitoring.columns import fit
from monitoring.storage import Storage

MOST_REASONS = 20
ROWS_AT_ONCE = 20_000
_JUDGED: dict[tuple[str, ...], str] = {}  # most rows have the columns of the one before
HIDDEN = ("_", ".")  # _SUCCESS, .part.crc: markers that other programs write beside data


def work(job: Job) -> None:
    """Read this instance's files."""
    with tempfile.TemporaryDirectory() as scratch:
        read_files(job, package.fetch_model(job.storage, job.settings["model"], Path(scratch)))
    judge_run(job)


def read_files(job: Job, model: Any) -> None:
    """Divide the rows of this instance's files into good and bad ones."""
    source, keys = input_keys(job)
    counts = Counts()
    good, origin, rejected = (
        Parts(job.storage, f"{job.work}{name}/", job.host) for name in ("input", "keys", "rejected")
    )
    keys_of_records = [column.name for column in model.schema.columns if column.role == "key"]
    facets = [facet["name"] for facet in job.settings["monitors"]["bias"]["facets"]]
    passed_on = dict.fromkeys([column.name for column in model.schema.features] + facets)
    for key in keys:
        if not job.owns(int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")):
            continue
        counts.files += 1
        rows = read(source.body(key), model.schema, key)
        if folders := of_folders(key, model.schema):
            rows = (row if row.values is None else replace(row, values=folders | row.values) for row in rows)
        while some := list(itertools.islice(rows, ROWS_AT_ONCE)):
            counts.rows += len(some)
            for row, reason in zip(some, judge(some, model)):
                if reason:
                    counts.reject(reason)
                    raw = row.raw if row.values is None else row.values
                    rejected.add({"file": key, "line": row.line, "reason": reason, "row": raw})
                else:
                    good.add({name: row.values[name] for name in passed_on if row.values.get(name) not in (None, "")})
                    record_key = {name: row.values.get(name) for name in keys_of_records}
                    origin.add({"file": key, "line": row.line} | record_key)
    for parts in (good, origin, rejected):
        parts.close()
    found = {"files": counts.files, "rows": counts.rows, "good": good.count, "rejected": rejected.count}
    job.storage.put(
        f"{job.work}check/{job.host}.json", json.dumps(found | {"reasons": counts.reasons}), "application/json"
    )
    print(f"{counts.files} files with {counts.rows} rows: {good.count} good, {rejected.count} set aside")


class Counts:
    """What was read so far."""

    def __init__(self) -> None:
        self.files = self.rows = 0
        self.reasons: dict[str, int] = {}

    def reject(self, reason: str) -> None:
        """Count a reason; values in it make it another one, so that only the first ones are told apart."""
        known = reason in self.reasons or len(self.reasons) < MOST_REASONS
        name = reason if known else "other"
        self.reasons[name] = self.reasons.get(name, 0) + 1


def input_keys(job: Job) -> tuple[Storage, list[str]]:
    """Return the bucket of the input and the keys of its files, in order.

    Raises:
        RunError: The input is not a place in S3.
    """
    place = urlsplit(job.options.input)
    if place.scheme != "s3" or not place.netloc:
        raise RunError(f"The input is {job.options.input!r}; it must look like s3://bucket/prefix/.")
    source, prefix = job.open(place.netloc), place.path.lstrip("/")
    if job.options.object != "all":
        # A marker such as _SUCCESS stands for the folder in which it was written.
        folder, _, name = job.options.object.rpartition("/")
        if not name.startswith(HIDDEN):
            return source, [job.options.object]
        prefix = f"{folder}/"
    return source, [key for key in source.keys(prefix) if _is_data(key.removeprefix(prefix))]


def _is_data(path: str) -> bool:
    return not path.endswith("/") and not any(part.startswith(HIDDEN) for part in path.split("/"))


def of_folders(key: str, schema: Any) -> dict[str, Any]:
    """Return the columns of the data set that the names of a file's folders tell, as training reads them."""
    known = {column.name for column in schema.columns}
    try:
        found = module("tabular.files").partition(key)
    except AttributeError:  # models of 1.x never learned from the names of folders
        return {}
    return {name: value for name, value in found.items() if name in known}


def judge(rows: Sequence[Row], model: Any) -> list[str]:
    """Return why the model cannot score each row, empty if it can; values are judged column by column."""
    wanted = tuple(column.name for column in model.columns)
    reasons = [row.reason if row.values is None else unlike(tuple(row.values), wanted, model.schema) for row in rows]
    places = [place for place, reason in enumerate(reasons) if not reason]
    values = [rows[place].values for place in places]
    for column in model.columns:
        for position in fit(column, [row.get(column.name) for row in values]).bad:
            nested = isinstance(values[position].get(column.name), (list, dict))
            what = "a list or an object is not a value" if nested else f"not a {column.kind}"
            reasons[places[position]] = reasons[places[position]] or f"column {column.name!r}: {what}"
    return reasons


def unlike(given: tuple[str, ...], wanted: tuple[str, ...], schema: Any) -> str:
    """Return why rows with these columns are not records of the model, by its own rules; models of 1.x have but one."""
    if given in _JUDGED:
        return _JUDGED[given]
    try:
        found = module("tabular.records").misfit(given, wanted, {column.name for column in schema.columns})
    except ModuleNotFoundError:
        found = "" if set(given).intersection(wanted) else "none of the columns that the model reads"
    _JUDGED[given] = found
    return found


def judge_run(job: Job) -> None:
    """Refuse the run if it has no good row or too many bad ones; done by whichever instance ends last.

    Raises:
        RunError: Names the counts and the most frequent reasons.
    """
    found = [job.storage.json(f"{job.work}check/{host}.json") for host in job.hosts]
    if any(counts is None for counts in found):
        return  # another instance is still reading
    rows, bad = (sum(counts[name] for counts in found) for name in ("rows", "rejected"))
    if not rows:
        raise RunError(
            f"There are no rows in {sum(counts['files'] for counts in found)} files at {job.options.input} "
            f"({job.options.object}), so there is nothing to predict. Put data there, or correct the input."
        )
    reasons: dict[str, int] = {}
    for counts in found:
        for reason, count in counts["reasons"].items():
            reasons[reason] = reasons.get(reason, 0) + count
    most = job.options.max_bad_percent
    if bad == rows or 100 * bad > most * rows:
        often = sorted(reasons, key=lambda reason: (-reasons[reason], reason))[:3]
        raise RunError(
            f"{bad} of {rows} rows cannot be scored ({100 * bad / rows:.3g} %, at most {most:g} % allowed), so the run "
            f"ends without predictions. Most often: {'; '.join(f'{reason} ({reasons[reason]})' for reason in often)}. "
            f"All of them: s3://{job.settings['bucket']}/{job.work}rejected/. Correct the data, or raise "
            f"max_bad_percent."
        )


if __name__ == "__main__":
    main(work, __doc__)
