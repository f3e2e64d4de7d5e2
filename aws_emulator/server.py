"""Install every service and serve them on the one endpoint."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final, NoReturn

from ministack import app

from aws_emulator import core, processes
from aws_emulator.clock import clock

if TYPE_CHECKING:
    from types import FrameType

MODULES: Final = (
    "iam.permissions",
    "s3",
    "s3_files",
    "messaging",
    "eventbridge.rules",
    "functions",
    "cloudformation.resources",
    "cloudformation.stacks",
    "cloudformation.names",
    "cloudformation.parameters",
    "cloudformation.stacksets",
    "ec2",
    "codeconnections.connections",
    "codebuild.builds",
    "codepipeline.operations",
    "eventbridge.schedules",
    "servicecatalog.sharing",
    "servicecatalog.launch",
    "servicecatalog.resources",
    "sagemaker.pipelines",
    "sagemaker.runtime",
    "sagemaker.autoscaling",
    "sagemaker.transform",
    "sagemaker.cards",
    "glue.catalog",
    "lakeformation.grants",
    "lakeformation.administration",
    "lakeformation.filters",
    "apigateway.integrations",
    "athena.executions",
    "sagemaker.resources",
    "cloudformation.stack_roles",
    "sagemaker.projects",
    "faults",
)
"""Modules of this package in the order in which they change MiniStack: as they are imported, or by ``install()``."""


def end(status: int = 0) -> NoReturn:
    """End this process and all its children now, since threads can wait for a custom resource for an hour."""
    processes.kill_all()
    sys.stdout.flush()
    os._exit(status)


def _watch_parent() -> None:
    """End when standard input closes, or when the parent process changes because it was killed."""
    parent = os.getppid()

    def until_closed() -> None:
        while sys.stdin.buffer.read(4096):
            pass
        end()

    def until_orphaned() -> None:
        while os.getppid() == parent:
            clock.sleep(0.5)
        end()

    for watcher in (until_closed, until_orphaned):
        clock.start(watcher)


def _announce(port: int) -> None:
    """Print the ready line as soon as the endpoint answers."""
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        clock.sleep(0.02)
    print(json.dumps({"ready": True, "endpoint": f"http://127.0.0.1:{port}"}), flush=True)


def _end_on_signal(number: int, frame: FrameType | None) -> None:
    end()


async def _serve(port: int) -> None:
    # hypercorn comes with ministack, which lives in an environment of its own, so there are no types to import.
    config = importlib.import_module("hypercorn.config").Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.keep_alive_timeout = 75
    config.errorlog = None
    # With a trigger of ours hypercorn leaves the signals alone; it would wait for connections that are still open.
    serve = importlib.import_module("hypercorn.asyncio").serve
    await serve(app.app, config, shutdown_trigger=asyncio.Event().wait)


def run(organization: core.Organization) -> NoReturn:
    """Serve until told to end.

    Raises:
        RuntimeError: MiniStack was imported with other settings.
    """
    if not app.AUTH:
        raise RuntimeError("the emulated organisation must run with AUTH=true: start it as python -m aws_emulator")
    core.configure(organization)
    for module in MODULES:
        found = importlib.import_module(f"aws_emulator.{module}")
        if hasattr(found, "install"):
            found.install()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_on_signal)
    _watch_parent()
    clock.start(_announce, organization.port)
    try:
        asyncio.run(_serve(organization.port))
    finally:
        end()
