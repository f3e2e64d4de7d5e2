"""Properties that do not hold today, each with the reason why that is accepted; one that holds fails the test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_HANDLERS: Final = "the schema of AWS::S3::Bucket lists actions on objects, which the bootstrap policy still takes over"
_NAMES: Final = (
    "a foreign tag on what is named after the own stage opens nothing: policies decide about that by name, and what "
    "the tag decides about is made with the own one only"
)

ACCEPTED: Final[Mapping[str, str]] = {
    "A role that a stage makes gives the tag of another stage to nothing": _NAMES,
    "Only the promotion writes records of decisions": _HANDLERS,
    "Only governance officers read records of decisions": _HANDLERS,
    "Only the promotion writes promoted models": _HANDLERS,
    "Only the upload step and what publishes assets write into the platform's artifact bucket": _HANDLERS,
}
