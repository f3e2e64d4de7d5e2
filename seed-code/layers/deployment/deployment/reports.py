"""Reports for people and programs: an HTML page that needs nothing else, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import jinja2

from deployment.context import Context

_PAGES = jinja2.Environment(
    loader=jinja2.PackageLoader("deployment", "pages"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(title: str, **content: Any) -> str:
    """Return a page (pages/report.html.j2).

    Args:
        title: What it is about.
        content: ``passed`` (bool, None where nothing is judged), ``summary`` (one sentence), ``facts`` (mapping of
            names to values), ``sections``: list of mappings with ``title`` and any of ``text``, ``checks`` (list of
            mappings ``name``, ``passed``, ``detail``), ``table`` (mapping ``columns``, ``rows``) and ``plots`` (list of
            mappings ``title``, ``svg`` of `deployment.plots`).
    """
    filled = {"passed": None, "summary": "", "facts": {}, "sections": [], **content}
    return _PAGES.get_template("report.html.j2").render(title=title, **filled)


def publish(context: Context, name: str, report: Mapping[str, Any], html: str) -> str:
    """Put a report into the project's bucket and return the link to its page in the console.

    Args:
        context: Of the step.
        name: Name of the report, e.g. ``endpoint-test``; ``<name>.json`` and ``<name>.html`` are written.
        report: What programs read.
        html: What people read.
    """
    build = context.build
    folder = context.root / "build" / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    prefix = f"reports/{build.execution_id}"
    files = {
        f"{name}.json": (json.dumps(report, indent=2, default=str) + "\n", "application/json"),
        f"{name}.html": (html, "text/html; charset=utf-8"),
    }
    s3 = context.hub("s3")
    for file, (content, content_type) in files.items():
        (folder / file).write_text(content, encoding="utf-8")
        s3.put_object(
            Bucket=build.artifact_bucket,
            Key=f"{prefix}/{file}",
            Body=content.encode(),
            ContentType=content_type,
            ServerSideEncryption="aws:kms",
            SSEKMSKeyId=build.kms_key_arn,
        )
    link = console_link(context, f"{prefix}/{name}.html")
    print(f"report: {link}")
    return link


def console_link(context: Context, key: str) -> str:
    """Return the page of the console on which an object of the project's bucket can be opened."""
    build = context.build
    place = f"s3/object/{build.artifact_bucket}?region={build.hub_region}&prefix={quote(key, safe='')}"
    return f"https://{build.console_host}/{place}"
