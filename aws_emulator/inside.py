"""What the emulator uses and replaces of MiniStack that is not public. Nothing else touches a name with an underscore.

MiniStack has no interface for extensions, so its modules' dictionaries and functions have to do. A name is written here
without its underscore: ``inside.eventbridge.put_events`` is ``ministack.services.eventbridge._put_events``, and setting
it replaces it there. Which names are used, and which parameters functions among them have, is recorded in
``tests/ministack.json``; a test compares that with the MiniStack that is installed, so an upgrade that moves one of
them fails with its name.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


class Part:
    """The private names of a module of MiniStack.

    Args:
        module: e.g. ``ministack.services.iam``.
    """

    def __init__(self, module: str) -> None:
        object.__setattr__(self, "_module", importlib.import_module(module))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever MiniStack has there
        """Return what has this name with an underscore before it."""
        return getattr(self.__dict__["_module"], f"_{name}")

    def __setattr__(self, name: str, value: object) -> None:
        """Replace it."""
        setattr(self.__dict__["_module"], f"_{name}", value)

    def replace_everywhere(self, name: str, value: object) -> None:
        """Replace it also in the other modules of its package that import it by name."""
        package = self.__dict__["_module"].__name__.rpartition(".")[0]
        for module_name, module in list(sys.modules.items()):
            if module_name.startswith(package) and hasattr(module, f"_{name}"):
                setattr(module, f"_{name}", value)


def replaces(owner: Any, name: str, *, everywhere: bool = False) -> Callable[[F], F]:  # noqa: ANN401 - as in `Part`
    """Put the decorated function in the place of one of MiniStack's, which it gets as its first argument.

    Args:
        owner: What holds the function of MiniStack: a part, a public module, or a dictionary.
        name: Its name there.
        everywhere: As `Part.replace_everywhere`.
    """

    def replace(function: F) -> F:
        original = owner[name] if isinstance(owner, dict) else getattr(owner, name)
        replacement = functools.partial(function, original)
        if isinstance(owner, dict):
            owner[name] = replacement
        elif everywhere:
            owner.replace_everywhere(name, replacement)
        else:
            setattr(owner, name, replacement)
        return function

    return replace


iam_actions: Final = Part("ministack.core.iam_actions")
iam_evaluator: Final = Part("ministack.core.iam_evaluator")
router: Final = Part("ministack.core.router")
apigateway_v1: Final = Part("ministack.services.apigateway_v1")
cloudformation: Final = Part("ministack.services.cloudformation")
changesets: Final = Part("ministack.services.cloudformation.changesets")
custom_resource: Final = Part("ministack.services.cloudformation.custom_resource")
engine: Final = Part("ministack.services.cloudformation.engine")
handlers: Final = Part("ministack.services.cloudformation.handlers")
helpers: Final = Part("ministack.services.cloudformation.helpers")
provisioners: Final = Part("ministack.services.cloudformation.provisioners")
stacks: Final = Part("ministack.services.cloudformation.stacks")
cloudwatch: Final = Part("ministack.services.cloudwatch")
cloudwatch_logs: Final = Part("ministack.services.cloudwatch_logs")
codebuild: Final = Part("ministack.services.codebuild")
dynamodb: Final = Part("ministack.services.dynamodb")
ec2: Final = Part("ministack.services.ec2")
ecr: Final = Part("ministack.services.ecr")
eventbridge: Final = Part("ministack.services.eventbridge")
glue: Final = Part("ministack.services.glue")
iam: Final = Part("ministack.services.iam")
kms: Final = Part("ministack.services.kms")
lambda_svc: Final = Part("ministack.services.lambda_svc")
s3: Final = Part("ministack.services.s3")
scheduler: Final = Part("ministack.services.scheduler")
sns: Final = Part("ministack.services.sns")
sqs: Final = Part("ministack.services.sqs")
ssm: Final = Part("ministack.services.ssm")
sts: Final = Part("ministack.services.sts")
