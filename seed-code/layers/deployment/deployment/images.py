"""Images of models: AWS keeps its own in another registry per region, and a model may be served in another region."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

from deployment.errors import DeploymentError

_IMAGE = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.(amazonaws\.com(?:\.cn)?)/([^:@]+)(.*)")


def in_region(image: str, region: str, *, registered_in: str) -> str:
    """Return where an image is in a region.

    Args:
        image: URI as registered, e.g. ``141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.2-0``.
        region: Region in which the model is served.
        registered_in: Region of the registry.

    Raises:
        DeploymentError: The image is in no registry of AWS, and the model is served in another region.
    """
    found = _IMAGE.fullmatch(image)
    if found is None:
        raise DeploymentError(
            f"Image {image!r} is not in a registry of Amazon ECR, from which SageMaker takes images. "
            f"Push it to one in {registered_in}, and register the model with it."
        )
    account, source, _, repository, version = found.groups()
    if source == region:
        return image
    target = _registry(account, source, repository, region)
    if target is None:
        raise DeploymentError(
            f"Image {image} is in region {source}, the model is to be served in {region}, and SageMaker takes images "
            f"from the same region only. It is none of AWS's own images, whose copies in {region} are known. "
            f"Deploy to {source}, or copy the image to {region} and register the model with that copy."
        )
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"{target}.dkr.ecr.{region}.{suffix}/{repository}{version}"


@functools.cache
def _known() -> dict[str, Any]:
    """Return AWS's registries: repository -> numbers of tables, each of which names the account by region."""
    known: dict[str, Any] = json.loads(Path(__file__).with_name("images.json").read_text(encoding="utf-8"))
    return known


def _registry(account: str, source: str, repository: str, region: str) -> str | None:
    """Return the account in a region that holds the same repository of AWS, or None."""
    known = _known()
    for number in known["repositories"].get(repository, []):
        table = known["registries"][number]
        if table.get(source) == account and region in table:
            return str(table[region])
    return None
