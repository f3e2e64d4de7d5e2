"""The part of API Gateway's mapping templates (Velocity) that responses of integrations need.

``#set``, ``#if``/``#elseif``/``#else``/``#end``, comparisons with ``&&`` and ``||``, variables, ``$input.json``,
``$input.path``, ``$input.body`` and ``$context.responseOverride.status``; in ``#set`` also ``split``, ``replaceAll``,
``[0]`` and ``$util.escapeJavaScript``. Source:
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
"""

from __future__ import annotations

import json
import operator
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Value: TypeAlias = Any
"""A value of a template: a text, a number, a part of a document, or None."""

_DIRECTIVE: Final = re.compile(r"#(?P<name>set|if|elseif|else|end)\b[ \t]*")
_REFERENCE: Final = re.compile(
    r"\$!?(?P<brace>\{)?"
    r"(?:input\.(?P<call>json|path)\((?P<quote>['\"])(?P<path>.*?)(?P=quote)\)|(?P<name>[A-Za-z][\w.]*))(?(brace)\})"
)
_METHOD: Final = re.compile(r"(?P<of>.+)\.(?P<name>split|replaceAll)\((?P<arguments>.*)\)")
_ESCAPE: Final = re.compile(r"\$util\.(?P<name>escapeJavaScript)\((?P<of>[^()]+)(?P<arguments>)\)")
_MEMBER: Final = re.compile(r"(\$\w+)\[(\d+)\]")
_TEXT: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_OVERRIDE: Final = "context.responseOverride.status"
_COMPARISONS: Final[dict[str, Callable[[Value, Value], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


class TemplateError(Exception):
    """A template that uses what is not emulated here."""


@dataclass
class Template:
    """A template being applied to the answer of an integration.

    Attributes:
        body: The answer.
        variables: What ``#set`` has set so far.
    """

    body: str
    variables: dict[str, Value] = field(default_factory=dict)

    def render(self, text: str) -> tuple[str, int | None]:
        """Return what a template makes of the answer, and the status that it sets, if it does.

        Raises:
            TemplateError: It uses what is not emulated.
        """
        output = "".join(self._rendered(list(_tokens(text))))
        status = self.variables.get(_OVERRIDE)
        return output.strip("\n"), None if status is None else int(status)

    def _rendered(self, tokens: list[tuple[str, str]]) -> Iterator[str]:
        # For each #if around: whether its current branch is active, and whether one of its branches has been already.
        branches: list[tuple[bool, bool]] = []
        for name, content in tokens:
            outside = all(active for active, _ in branches[:-1])
            if name == "if":
                counts = all(active for active, _ in branches) and self._holds(content)
                branches.append((counts, counts))
            elif name in {"elseif", "else"}:
                done = branches[-1][1]
                counts = outside and not done and (name == "else" or self._holds(content))
                branches[-1] = (counts, done or counts)
            elif name == "end":
                branches.pop()
            elif all(active for active, _ in branches):
                if name == "set":
                    target, _, expression = content.partition("=")
                    self.variables[target.strip().lstrip("$")] = self._value(expression)
                else:
                    yield _REFERENCE.sub(lambda found: _shown(self._resolved(found)), content)

    def _resolved(self, found: re.Match[str]) -> Value:
        if found["call"]:
            value = _at(self.body, found["path"])
            return value if found["call"] == "path" else json.dumps(value, ensure_ascii=False)
        return self.body if found["name"] == "input.body" else self.variables.get(found["name"])

    def _holds(self, condition: str) -> bool:
        return any(all(self._compared(part) for part in either.split("&&")) for either in condition.split("||"))

    def _compared(self, part: str) -> bool:
        for sign, compare in _COMPARISONS.items():
            left, found, right = part.partition(sign)
            if found:
                values = self._value(left), self._value(right)
                return None not in values and compare(*values)
        return bool(self._value(part))

    def _called(self, method: re.Match[str]) -> Value:
        """Return what a method makes of a text."""
        value, arguments = _shown(self._value(method["of"])), _TEXT.findall(method["arguments"] or "")
        if method["name"] == "split":
            return re.split(arguments[0], value)
        if method["name"] == "replaceAll":
            return re.sub(arguments[0], lambda _: arguments[1], value)
        return json.dumps(value)[1:-1].replace("/", r"\/").replace("'", r"\'")

    def _value(self, expression: str) -> Value:
        text = expression.strip()
        found = _REFERENCE.fullmatch(text)
        if found:
            return self._resolved(found)
        if member := _MEMBER.fullmatch(text):
            return self._value(member[1])[int(member[2])]
        if method := _METHOD.fullmatch(text) or _ESCAPE.fullmatch(text):
            return self._called(method)
        if text[:1] in {'"', "'"} and text[:1] == text[-1:]:
            return text[1:-1]
        try:
            return json.loads(text)
        except ValueError as error:
            raise TemplateError(f"the expression {text!r} of a mapping template is not emulated here") from error


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Return the directives of a template with their arguments, and the texts between them under ``text``."""
    at = 0
    while found := _DIRECTIVE.search(text, at):
        yield "text", text[at : found.start()]
        end = found.end()
        argument = ""
        if found["name"] in {"set", "if", "elseif"}:
            close = _closing(text, end)
            argument, end = text[end + 1 : close], close + 1
        yield found["name"], argument
        at = end + (text[end : end + 1] == "\n")  # a directive takes the end of its line with it
    yield "text", text[at:]


def _closing(text: str, start: int) -> int:
    """Return where the parenthesis that opens at a position is closed."""
    depth, quote = 0, ""
    for position in range(start, len(text)):
        character = text[position]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            depth += {"(": 1, ")": -1}.get(character, 0)
            if depth == 0:
                return position
    raise TemplateError(f"a directive of a mapping template is not closed: {text[start : start + 40]!r}")


def _at(body: str, path: str) -> Value:
    """Return what is at a path like ``$.a.b`` of a JSON document; None when there is nothing."""
    try:
        node: Value = json.loads(body)
    except ValueError:
        return None
    for name in path.removeprefix("$").strip(".").split("."):
        if name:
            node = node.get(name) if isinstance(node, dict) else None
    return node


def _shown(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) if value is not None else ""
