"""The instances of one training job, which build one XGBoost model together."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from tabular.boosting import RabitTracker, collective

TRACKER_PORT = 9099
CONNECTION_ATTEMPTS = 20  # XGBoost waits longer before each further one
LONGEST_START_S = 600

Part = TypeVar("Part")


@dataclass(frozen=True)
class Cluster:
    """This instance among the instances of the job.

    Attributes:
        rank: Number of this instance, from 0; the first one saves the model.
        size: Number of instances.
    """

    rank: int = 0
    size: int = 1

    def gather(self, part: Part) -> list[Part]:
        """Return what every instance has handed in, in the order of their ranks."""
        if self.size == 1:
            return [part]
        return [collective.broadcast(part, root) for root in range(self.size)]


@contextmanager
def join_cluster() -> Iterator[Cluster]:
    """Connect the instances that SageMaker names in ``SM_HOSTS``; with one of them, or none, nothing is started."""
    hosts = sorted(json.loads(os.environ.get("SM_HOSTS", "[]")))
    if len(hosts) < 2:
        yield Cluster()
        return
    rank = hosts.index(os.environ["SM_CURRENT_HOST"])
    first = _address(hosts[0])
    tracker = None
    if rank == 0:
        tracker = RabitTracker(n_workers=len(hosts), host_ip=first, port=TRACKER_PORT, sortby="task")
        tracker.start()
    with collective.CommunicatorContext(
        dmlc_tracker_uri=first,
        dmlc_tracker_port=TRACKER_PORT,
        dmlc_task_id=f"{rank:06d}",  # sorted by this, so that the first host has rank 0
        dmlc_retry=CONNECTION_ATTEMPTS,
    ):
        yield Cluster(collective.get_rank(), collective.get_world_size())
    if tracker is not None:
        tracker.wait_for()


def _address(host: str) -> str:
    """Return the address of a host; the name of an instance that starts later is unknown at first."""
    deadline = time.monotonic() + LONGEST_START_S
    while True:
        try:
            return socket.gethostbyname(host)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(2)
