"""The form that a person fills in: questions as data, and the parameters that they become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aws_cdk as cdk

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question of a form: a parameter of the template, and what the console shows about it.

    Attributes:
        id: Parameter name; never changes once released.
        group: Heading under which the console shows it; groups appear in the order of their first question.
        label: What the console shows instead of the name.
        description: What it is for, with an example.
        default: Value when the person leaves it alone. Default: none, so a value is required.
        type: CloudFormation parameter type. Default: ``String``.
        choices: Allowed values. Default: any.
        pattern: Regular expression that the whole value must match. Default: none.
        longest: Most characters allowed. Default: CloudFormation's 4,096.
        problem: What the console says when the value does not fit. Default: CloudFormation's own words.
        bounds: Smallest and largest number of type ``Number``, which takes fractions. Default: none. Whole numbers are
            text with the pattern `patterns.whole`.
    """

    id: str
    group: str
    label: str
    description: str
    default: str | int | None = None
    type: str = "String"
    choices: Sequence[str] = ()
    pattern: str | None = None
    longest: int | None = None
    problem: str | None = None
    bounds: tuple[int, int] | None = None


class Form:
    """The parameters of a product, described for the console (``AWS::CloudFormation::Interface``).

    Args:
        stack: The product.
        questions: What is asked, in the order of the form.

    Attributes:
        stack: The product.
    """

    def __init__(self, stack: cdk.Stack, questions: Iterable[Question]) -> None:
        self.stack = stack
        groups: dict[str, list[str]] = {}
        labels: dict[str, str] = {}
        self._parameters: dict[str, cdk.CfnParameter] = {}
        for question in questions:
            groups.setdefault(question.group, []).append(question.id)
            labels[question.id] = question.label
            self._parameters[question.id] = _parameter(stack, question)
        stack.template_options.metadata = {"AWS::CloudFormation::Interface": _interface(groups, labels)}

    def __getitem__(self, id_: str) -> str:
        """Return the answer to a question, as text."""
        return self._parameters[id_].value_as_string

    def list(self, id_: str) -> list[str]:
        """Return the answer to a question whose type is a list."""
        return self._parameters[id_].value_as_list

    def number(self, id_: str) -> float:
        """Return the answer to a question for a number, as a number."""
        return cdk.Token.as_number(cdk.Fn.ref(self._parameters[id_].logical_id))

    def is_(self, id_: str, answer: str) -> cdk.ICfnConditionExpression:
        """Return the expression that a question was answered like this."""
        return cdk.Fn.condition_equals(self[id_], answer)

    def is_not(self, id_: str, answer: str) -> cdk.ICfnConditionExpression:
        """Return the expression that a question was answered otherwise."""
        return cdk.Fn.condition_not(self.is_(id_, answer))

    def refuse(
        self,
        id_: str,
        *,
        when: cdk.ICfnConditionExpression,
        unless: Sequence[cdk.ICfnConditionExpression],
        problem: str,
    ) -> None:
        """Refuse combinations of answers before anything is created.

        Args:
            id_: Logical id of the rule.
            when: When the rule applies.
            unless: What must hold then, all of it.
            problem: What the console says otherwise: which question, why, and what to enter.
        """
        cdk.CfnRule(
            self.stack,
            id_,
            rule_condition=when,
            assertions=[cdk.CfnRuleAssertion(assert_=one, assert_description=problem) for one in unless],
        )


def _parameter(stack: cdk.Stack, question: Question) -> cdk.CfnParameter:
    least, most = question.bounds or (None, None)
    return cdk.CfnParameter(
        stack,
        question.id,
        type=question.type,
        description=question.description,
        default=question.default,
        allowed_values=list(question.choices) or None,
        allowed_pattern=question.pattern,
        max_length=question.longest,
        constraint_description=question.problem,
        min_value=least,
        max_value=most,
    )


def _interface(groups: dict[str, list[str]], labels: dict[str, str]) -> dict[str, Any]:
    return {
        "ParameterGroups": [{"Label": {"default": title}, "Parameters": ids} for title, ids in groups.items()],
        "ParameterLabels": {id_: {"default": label} for id_, label in labels.items()},
    }
