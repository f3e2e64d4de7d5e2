"""What products grant to their roles gets through the boundary: a grant that it stops would fail at run time only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from foundation import boundary
from pipeline.synthesis import synthesise
from products.catalog import PRODUCTS
from tests.policy import allows
from tests.products.launches import CATALOG, ORDINARY, launch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ACCOUNT: Final = "111122223333"


def ceiling() -> list[dict[str, Any]]:
    text = json.dumps(boundary.document(catalog=CATALOG))
    for name, value in (("Partition", "aws"), ("AccountId", ACCOUNT)):
        text = text.replace(f"${{AWS::{name}}}", value)
    return list(json.loads(text)["Statement"])


def listed(value: Any) -> list[Any]:  # noqa: ANN401 - JSON
    return value if isinstance(value, list) else [value]


def requests(statement: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """A request for each action and resource of a grant, as its conditions want it."""
    context = {
        key: str(listed(values)[0]).replace("*", "x")
        for operator, keys in statement.get("Condition", {}).items()
        if "Not" not in operator and operator != "Null"
        for key, values in keys.items()
    }
    for action in listed(statement["Action"]):
        for resource in listed(statement["Resource"]):
            yield action, resource if resource == "*" else resource.replace("*", "x"), context


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.SPEC.id)
def test_the_boundary_lets_through_what_a_product_grants(product: Any) -> None:  # noqa: ANN401 - a product class
    landed = launch(synthesise(product), ORDINARY[product.SPEC.id], account=ACCOUNT)
    stopped = [
        (role, action, resource)
        for role, statements in landed.roles().items()
        for statement in statements
        if statement["Effect"] == "Allow"
        for action, resource, context in requests(statement)
        if not allows(ceiling(), action, resource, **context | {"aws:PrincipalArn": landed.attribute(role, "Arn")})
    ]
    assert stopped == []
