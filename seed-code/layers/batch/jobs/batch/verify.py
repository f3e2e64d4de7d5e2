"""Last job of a batch run: every row is accounted for, inputs and predictions look as expected, and the run is done.

Rows in must be predictions and rejected rows, exactly. The monitors compare a sample of the run with the baselines of
the package. Then ``batch/run=<run>/_manifest.json`` and, last of all, ``_SUCCESS`` are written: whoever waits for that
object sees complete runs only.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from common import Job, RunError, json_lines, main

from monitoring import bias, data_quality, explainability, package, publish
from monitoring.capture import Record, Sample
from monitoring.results import Result
from monitoring.window import Window


def work(job: Job) -> None:
    """Verify the run, watch it, and declare it done."""
    counts = count(job)
    report_uri = watch(job, counts) if job.options.monitors == "on" and job.settings["monitors"]["enabled"] else None
    manifest = {
        "run": job.options.run,
        "started": job.options.started,
        "input": job.options.input,
        "object": job.options.object,
        "package": job.settings["package"],
        "rejected_at": f"s3://{job.settings['bucket']}/{job.work}rejected/",
        "monitors": report_uri,
        **counts,
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    job.storage.put(f"{job.result}_manifest.json", text, "application/json")
    job.storage.put(f"{job.result}_SUCCESS", "", "application/octet-stream")
    print(f"{counts['rows']} rows: {counts['predictions']} predictions, {counts['rejected']} set aside")


def count(job: Job) -> dict[str, Any]:
    """Return the counts of the run.

    Raises:
        RunError: A row is missing, or there is one too many.
    """
    checked = [job.storage.json(key) for key in job.storage.keys(f"{job.work}check/")]
    joined = [job.storage.json(key) for key in job.storage.keys(f"{job.work}join/")]
    parts = {name: size for counts in joined for name, size in counts["parts"].items()}
    rows, good, rejected = (sum(counts[name] for counts in checked) for name in ("rows", "good", "rejected"))
    predictions = sum(parts.values())
    written = {key.removeprefix(job.result) for key in job.storage.keys(f"{job.result}part-")}
    if good + rejected != rows or predictions != good or written != set(parts):
        raise RunError(
            f"{rows} rows were read, {rejected} set aside and {predictions} predicted in {len(written)} of "
            f"{len(parts)} parts: that does not add up, so the run is not declared complete. Start it again; if it "
            f"happens twice, look at the logs of its jobs."
        )
    reasons: dict[str, int] = {}
    for counts in checked:
        for reason, number in counts["reasons"].items():
            reasons[reason] = reasons.get(reason, 0) + number
    return {
        "files": sum(counts["files"] for counts in checked),
        "rows": rows,
        "predictions": predictions,
        "rejected": rejected,
        "reasons": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        "parts": dict(sorted(parts.items())),
    }


def watch(job: Job, counts: dict[str, Any]) -> str:
    """Compare a sample of the run with the baselines, publish the report, and return its URI."""
    settings = job.settings["monitors"]
    sample = Sample(settings["max_records"])
    for key in job.storage.keys(f"{job.work}sample/"):
        sample.add_records([Record(**line) for line in json_lines(job.storage, key)])
    with tempfile.TemporaryDirectory() as scratch:
        served = package.load(job.storage, job.settings["model"], job.settings["baselines"], Path(scratch))
        results = run_monitors(sample.items, served, settings)
    started = Window.ending(job.options.started, 0)
    origin = publish.Origin(
        job.settings["project"], job.settings["stage"], job.settings["endpoint"], job.settings["package"]
    )
    report = {
        **vars(origin),
        "window": {"start": started.start.isoformat(), "end": started.end.isoformat()},
        "records": {
            "captured": counts["predictions"],
            "sampled": len(sample.items),
            "unreadable": counts["rejected"],
            "examples": list(counts["reasons"])[:5],
        },
        "labels": {"arrived": 0, "joined": 0},
        "monitors": [result.to_dict() for result in results],
    }
    folder = f"monitoring/{origin.endpoint}/run={job.options.run}"
    publish.publish(job.session, job.storage, job.settings["bus_arn"], origin, started, results, report, folder)
    return f"s3://{job.settings['bucket']}/{folder}/report.html"


def run_monitors(records: list[Record], served: package.Package, settings: dict[str, Any]) -> list[Result]:
    """Run the monitors that need no ground truth."""
    least = settings["min_records"]
    results = []
    if settings["data_quality"]["enabled"]:
        results.append(data_quality.check(records, served, least=least))
    if settings["bias"]["enabled"] and settings["bias"]["facets"]:
        results.append(bias.check(records, [], served, settings["bias"], least=least))
    if settings["explainability"]["enabled"]:
        min_ndcg = settings["explainability"]["min_ndcg"]
        results.append(explainability.check(records, served, least=least, min_ndcg=min_ndcg))
    return results


if __name__ == "__main__":
    main(work, __doc__)
