"""Third job of a batch run: put every prediction beside the row it belongs to.

Answers come in the order of the rows, file by file, so parts of ``keys/`` and ``output/`` are read side by side. Every
instance takes the parts that their numbers give it. Writes the predictions below ``batch/run=<run>/``, and below
``batch/<run>/``: ``join/<instance>.json`` with the counts and ``sample/<instance>.jsonl`` with some records for the
monitors.
"""

from __future__ import annotations

import itertools
import json

from common import Job, RunError, json_lines, main

from monitoring.capture import Record, Sample


def work(job: Job) -> None:
    """Join this instance's parts."""
    storage = job.storage
    sample = Sample(job.settings["monitors"]["max_records"])
    counts = {}
    for number, key in enumerate(storage.keys(f"{job.work}input/")):
        if not job.owns(number):
            continue
        name = key.removeprefix(f"{job.work}input/")
        lines, records = [], []
        rows, origins, answers = (
            json_lines(storage, f"{job.work}{folder}/{name}{end}")
            for folder, end in (("input", ""), ("keys", ""), ("output", ".out"))
        )
        for row, origin, answer in itertools.zip_longest(rows, origins, answers):
            if row is None or origin is None or answer is None:
                missing = "rows" if row is None else "keys" if origin is None else "answers"
                raise RunError(
                    f"Part {name} has fewer {missing} than others after {len(lines)} of them, so nobody knows which "
                    f"prediction belongs to which row: none is handed out. Look at the log of the transform job, and "
                    f"start the run again."
                )
            lines.append(json.dumps(origin | answer, ensure_ascii=False, separators=(",", ":")))
            records.append(Record(origin["file"], origin["line"], row, answer))
        sample.add_records(records)
        storage.put(f"{job.result}{name}", "\n".join(lines) + "\n", "application/jsonlines")
        counts[name] = len(lines)
    chosen = "".join(json.dumps(vars(record), ensure_ascii=False) + "\n" for record in sample.items)
    storage.put(f"{job.work}sample/{job.host}.jsonl", chosen, "application/jsonlines")
    storage.put(f"{job.work}join/{job.host}.json", json.dumps({"parts": counts}), "application/json")
    print(f"{len(counts)} parts with {sum(counts.values())} predictions")


if __name__ == "__main__":
    main(work, __doc__)
