"""The form that a person fills in: parameters with a group, a label, an example and a check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import CfnParameter

if TYPE_CHECKING:
    from collections.abc import Sequence

    import aws_cdk as cdk

TAG_VALUE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 _.:/=+@-]{0,63}$"
"""What a tag value may hold, starting with a letter or digit."""


class Form:
    """Collects the parameters of a product and describes them for the console (``AWS::CloudFormation::Interface``).

    Args:
        stack: The product.
    """

    def __init__(self, stack: cdk.Stack) -> None:
        self._stack = stack
        self._groups: dict[str, list[str]] = {}
        self._labels: dict[str, str] = {}

    def ask(
        self,
        id_: str,
        *,
        group: str,
        label: str,
        description: str,
        default: str | int | None = None,
        type_: str = "String",
        choices: Sequence[str] | None = None,
        pattern: str | None = None,
        longest: int | None = None,
        problem: str | None = None,
        bounds: tuple[int, int] | None = None,
    ) -> CfnParameter:
        """Add a parameter.

        Args:
            id_: Parameter name; never changes once released.
            group: Heading under which the console shows it; groups appear in the order of their first parameter.
            label: What the console shows instead of the name.
            description: What it is for, with an example.
            default: Value when the person leaves it alone. Default: none, so a value is required.
            type_: CloudFormation parameter type. Default: ``String``.
            choices: Allowed values. Default: any.
            pattern: Regular expression that the whole value must match. Default: none.
            longest: Most characters allowed. Default: CloudFormation's 4,096.
            problem: What the console says when the value does not fit. Default: CloudFormation's own words.
            bounds: Smallest and largest number. Default: none.
        """
        self._groups.setdefault(group, []).append(id_)
        self._labels[id_] = label
        self._stack.template_options.metadata = {"AWS::CloudFormation::Interface": self._interface()}
        return CfnParameter(
            self._stack,
            id_,
            type=type_,
            description=description,
            default=default,
            allowed_values=list(choices) if choices else None,
            allowed_pattern=pattern,
            max_length=longest,
            constraint_description=problem,
            min_value=bounds[0] if bounds else None,
            max_value=bounds[1] if bounds else None,
        )

    def _interface(self) -> dict[str, Any]:
        return {
            "ParameterGroups": [
                {"Label": {"default": title}, "Parameters": list(ids)} for title, ids in self._groups.items()
            ],
            "ParameterLabels": {id_: {"default": label} for id_, label in self._labels.items()},
        }
