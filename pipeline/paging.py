"""Answers of AWS that come in pages."""

from __future__ import annotations

from typing import Any

AwsClient = Any
"""A boto3 client: its operations are made from service models at run time."""


def pages(client: AwsClient, operation: str, result: str, **request: object) -> list[dict[str, Any]]:
    """Return the results of all pages, whatever the service calls the token of the next one."""
    found: list[dict[str, Any]] = []
    while True:
        page = getattr(client, operation)(**request)
        found += page.get(result, [])
        token = next(
            (
                (sent, page[got])
                for got, sent in (
                    ("NextToken", "NextToken"),
                    ("NextPageToken", "PageToken"),
                    ("NextMarker", "Marker"),
                    ("Marker", "Marker"),
                )
                if page.get(got)
            ),
            None,
        )
        if token is None:
            return found
        request[token[0]] = token[1]
