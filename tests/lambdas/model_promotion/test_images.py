"""Copies of images between registries."""

from __future__ import annotations

import json

import pytest

from lambdas.model_promotion.errors import OutOfTimeError, PromotionError
from lambdas.model_promotion.images import Image, Images, download
from tests.lambdas.model_promotion.cloud import DEV, HUB, REGION, REPOSITORY, Cloud

URI = f"{DEV}.dkr.ecr.{REGION}.amazonaws.com/scoring"
TARGET = f"{HUB}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}"


def images(cloud: Cloud, remaining_s: float = 900) -> Images:
    """Return what is tested."""
    return Images(HUB, REPOSITORY, lambda: remaining_s, opener=cloud.download)


def test_an_image_arrives_with_its_digest_and_all_layers(cloud: Cloud) -> None:
    digest = cloud.push("scoring", "v1", [b"configuration", b"a layer in more than one part"])
    assert images(cloud).copy(f"{URI}:v1", "", DEV) == f"{TARGET}@{digest}"
    copy, original = cloud.images[HUB, REPOSITORY, digest], cloud.images[DEV, "scoring", digest]
    assert copy["imageManifest"] == original["imageManifest"]
    assert {body for (account, _), body in cloud.layers.items() if account == HUB} == {
        b"configuration",
        b"a layer in more than one part",
    }


def test_the_digest_of_the_registration_counts_when_the_tag_has_moved_on(cloud: Cloud) -> None:
    approved = cloud.push("scoring", "old", [b"configuration", b"approved"])
    cloud.push("scoring", "latest", [b"configuration", b"not approved"])
    assert images(cloud).copy(f"{URI}:latest", approved, DEV) == f"{TARGET}@{approved}"


def test_an_image_that_is_there_costs_one_call(cloud: Cloud) -> None:
    digest = cloud.push("scoring", "v1", [b"configuration", b"layer"])
    images(cloud).copy(f"{URI}:v1", digest, DEV)
    before = len(cloud.calls)
    images(cloud).copy(f"{URI}@{digest}", "", DEV)
    assert len(cloud.calls) == before + 1


def test_layers_that_images_share_are_copied_once(cloud: Cloud) -> None:
    for tag in ("v1", "v2"):
        cloud.push("scoring", tag, [f"configuration {tag}".encode(), b"shared"])
        images(cloud).copy(f"{URI}:{tag}", "", DEV)
    assert len(cloud.of("ecr:CompleteLayerUpload")) == 3


def test_an_image_for_several_platforms_brings_all_of_them(cloud: Cloud) -> None:
    parts = [cloud.push("scoring", "", [f"configuration {cpu}".encode(), b"layer"]) for cpu in ("x86", "arm")]
    kind = "application/vnd.oci.image.index.v1+json"
    text = json.dumps({"mediaType": kind, "manifests": [{"digest": digest} for digest in parts]})
    index = cloud.put_manifest("scoring", "v1", kind, text)
    images(cloud).copy(f"{URI}:v1", "", DEV)
    assert {digest for registry, _, digest in cloud.images if registry == HUB} == {*parts, index}


def test_an_altered_layer_is_refused(cloud: Cloud) -> None:
    digest = cloud.push("scoring", "v1", [b"configuration", b"original"])
    (layer,) = [key for key, body in cloud.layers.items() if body == b"original"]
    cloud.layers[layer] = b"altered!"
    with pytest.raises(OSError, match="or altered"):
        images(cloud).copy(f"{URI}:v1", digest, DEV)
    assert (HUB, REPOSITORY, digest) not in cloud.images


def test_an_image_that_cannot_be_found_is_named_with_what_to_do(cloud: Cloud) -> None:
    with pytest.raises(PromotionError, match=r"scoring .*Let the hub account read the repository"):
        images(cloud).copy(f"{URI}:v1", "", DEV)


def test_no_layer_is_begun_when_the_time_is_nearly_up(cloud: Cloud) -> None:
    cloud.push("scoring", "v1", [b"configuration", b"layer"])
    with pytest.raises(OutOfTimeError):
        images(cloud, remaining_s=30).copy(f"{URI}:v1", "", DEV)
    assert not cloud.of("ecr:InitiateLayerUpload")


@pytest.mark.parametrize(
    "uri",
    [
        f"141502667606.dkr.ecr.{REGION}.amazonaws.com/sagemaker-xgboost:3.0-5",
        "public.ecr.aws/docker/library/python:3.13",
        "my.registry.example/scoring:v1",
    ],
)
def test_images_of_others_stay_where_they_are(cloud: Cloud, uri: str) -> None:
    assert images(cloud).copy(uri, "", DEV) == uri
    assert cloud.calls == []


def test_images_are_read_with_tag_and_digest_and_in_every_partition() -> None:
    digest = "sha256:" + "a" * 64
    image = Image.parse(f"{DEV}.dkr.ecr.cn-north-1.amazonaws.com.cn/team/scoring:v1@{digest}")
    assert image is not None
    assert (image.repository, image.tag, image.digest) == ("team/scoring", "v1", digest)


def test_layers_come_over_https_only() -> None:
    with pytest.raises(OSError, match="not https"), download("http://layers.example/x"):
        pass
