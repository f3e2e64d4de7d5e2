"""Properties that do not hold today, each with the reason why that is accepted; one that holds fails the test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_BOUNDARY: Final = (
    "the boundary of deployment accounts believes the session's tag; its denial by role name is under way"
)
_GROUPS: Final = "promoted models are readable whatever their group; a tag for the group is under way"
_HANDLERS: Final = "the schema of AWS::S3::Bucket lists actions on objects, which the bootstrap policy still takes over"
_SCHEDULE: Final = "the conditions on what a start may override are under way"

ACCEPTED: Final[Mapping[str, str]] = {
    "A role that a stage makes gives the tag of another stage to nothing": _BOUNDARY,
    "No role of a stage reads another bucket of its account, one of the platform's or of other teams": _BOUNDARY,
    "No role of a stage writes into a bucket of its account that is not the stage's": _BOUNDARY,
    "The session that deploys a stage reads models of its own group only": _GROUPS,
    "Only the promotion writes records of decisions": _HANDLERS,
    "Only governance officers read records of decisions": _HANDLERS,
    "Only the promotion writes promoted models": _HANDLERS,
    "Only the upload step and what publishes assets write into the platform's artifact bucket": _HANDLERS,
    "The schedule starts production with the project's own buildspec": _SCHEDULE,
    "The schedule starts production with the project's own source": _SCHEDULE,
    "The schedule starts production with the project's own role": _SCHEDULE,
}
