"""What kinds of machines differ in."""

from __future__ import annotations

import re

_LOCAL_STORAGE = re.compile(r"ml\.([a-z]+\d[a-z]*d[a-z]*|(g5|g6e?|g7e?|gr6|p[5-9]|trn\d|dl\d|i\d)[a-z0-9-]*)\..+")
"""Families with a d behind their number (m5d, g4dn, p4d), and those that always come with disks (the page below)."""


def has_local_storage(instance_type: str) -> bool:
    """Return whether a machine has disks of its own, which its hardware encrypts.

    SageMaker takes no key for its volumes then (API reference, CreateEndpointConfig, KmsKeyId), which
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-store-volumes.html lists.
    """
    return _LOCAL_STORAGE.fullmatch(instance_type) is not None
