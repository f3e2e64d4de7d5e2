# ruff: noqa: S608 - the texts are literals and names that were parsed and quoted
"""Expressions of Trino's SQL, typed and written in DuckDB's."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from aws_emulator.athena import types
from aws_emulator.athena.arithmetic import BARE, calculate, compare, mismatch, quotient
from aws_emulator.athena.casts import cast, formatted
from aws_emulator.athena.errors import NotEmulated, QueryError
from aws_emulator.athena.literals import LITERALS, decimal_literal, interval, number, quote, replacement
from aws_emulator.athena.signatures import Bindings, Signature, Typed, lines, signatures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aws_emulator.athena.scopes import Relation, Scope

COMPARISONS = {exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<="}
NAMES = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "%": "modulus"}
NUMERIC = {"integer", "decimal", "real", "double", "unknown"}
TIMES = {"date", "timestamp", "timestamp with time zone"}
OPERATORS = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%"}
SYNTAX = {node: rest for node, *rest in map(str.split, lines("syntax"))}
READS = {node: rest for node, *rest in map(str.split, lines("reads"))}
KNOWN = {name for line in lines("known") for name in line.split()}
EXTRACTED = {"DOW": "day_of_week", "DAY_OF_WEEK": "day_of_week", "DOY": "day_of_year", "DAY_OF_YEAR": "day_of_year",
             "DAY_OF_MONTH": "day", "YOW": "year_of_week", "YEAR_OF_WEEK": "year_of_week"}  # fmt: skip
EXTRACTED |= {part: part.lower() for part in ("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND")}
WHOLE = (":integer", ":index", ":places")
"""Literals that are whole numbers; the others are texts."""
AROUND = {"d": "DISTINCT", "o": "ORDER BY", "f": "FILTER or OVER", "i": "IGNORE NULLS"}
"""What may stand around a call, by its name in a template."""


class Expressions:
    """Turns expressions of one place in a query into DuckDB's.

    Args:
        scope: The names that the place sees.
        subquery: Turns a query inside an expression into a relation.
    """

    def __init__(self, scope: Scope, subquery: Callable[[Any, Scope], Relation]) -> None:
        self.scope = scope
        self.subquery = subquery

    def of(self, node: exp.Expr) -> Typed:
        """Return an expression with its type.

        Raises:
            QueryError: Trino refuses it.
            NotEmulated: It is not on the list of what is answered.
        """
        if node is None:
            raise QueryError("SYNTAX_ERROR", "mismatched input: an expression is missing")
        kind, name = type(node), type(node).__name__
        function, *keys = SYNTAX.get(name, [""])
        parts = [*(keys if function else ("this", "expression", "expressions")), *READS.get(name, [])]
        if extra := [name for name, value in node.args.items() if value and name not in parts]:
            raise NotEmulated(f"{', '.join(extra)} in {node.sql('trino')[:80]}")
        if kind in COMPARISONS:
            return self._comparison(node, COMPARISONS[kind])
        if kind in OPERATORS:
            return self._calculation(OPERATORS[kind], self.of(node.this), self.of(node.expression))
        if function:
            given = (node.args[key] for key in keys if node.args.get(key) is not None)
            args = [self.of(n) for part in given for n in (part if isinstance(part, list) else [part])]
            value, literal = self.call(function, args), args[0].literal if function == "negate" else None
            return replace(value, literal=f"-{literal}") if literal else value
        handler = getattr(self, f"_{name.lower()}", self._unknown)
        found: Typed = handler(node)
        return found

    def boolean(self, node: exp.Expr) -> str:
        """Return a condition."""
        return self.call("condition", [self.of(node)]).sql

    def order(self, nodes: Sequence[exp.Expr]) -> str:
        """Return what follows ORDER BY; nulls come last in both directions unless said otherwise."""
        return ", ".join(self.of(node.this).sql + direction(node) for node in nodes)

    def _unknown(self, node: exp.Expr) -> Typed:
        raise NotEmulated(f"{node.sql('trino')[:80]} ({type(node).__name__})")

    def _calculation(self, operator: str, a: Typed, b: Typed) -> Typed:
        if {a.type.kind, b.type.kind} <= NUMERIC:
            return calculate(a, operator, b)
        if "time" in (a.literal, b.literal) and types.DATE in (a.type, b.type):
            raise QueryError("INVALID_FUNCTION_ARGUMENT", "Cannot add hour, minutes or seconds to a date")
        if not {a.type, b.type} & {types.DAYS, types.MONTHS} and not {a.type.name, b.type.name} <= TIMES:
            raise mismatch(a, operator, b)
        return self.call(NAMES[operator], [a, b])

    # Literals and names

    def _literal(self, node: exp.Expr) -> Typed:
        sql, t = (quote(node.this), types.VARCHAR) if node.is_string else number(node.this)
        return Typed(sql, t, node.this)

    def _boolean(self, node: exp.Expr) -> Typed:
        return Typed(str(bool(node.this)).lower(), types.BOOLEAN)

    def _null(self, _: exp.Expr) -> Typed:
        return Typed("NULL", types.UNKNOWN)

    def _hexstring(self, node: exp.Expr) -> Typed:
        return Typed(f"unhex({quote(node.this)})", types.VARBINARY)

    def _paren(self, node: exp.Expr) -> Typed:
        return self.of(node.this)

    def _identifier(self, node: exp.Expr) -> Typed:
        value, fields = self.scope.find([part.name for part in getattr(node, "parts", [node])])
        for name in fields:
            value = self._field(value, name)
        return value

    _column = _identifier

    def _dot(self, node: exp.Expr) -> Typed:
        return self._field(self.of(node.this), node.expression.name)

    def _field(self, value: Typed, name: str) -> Typed:
        names = [field.lower() for field in value.type.fields]
        if name.lower() not in names:
            raise QueryError("TYPE_MISMATCH", f"{value.type} is not a row with a field {name!r}")
        return part_of(value, names.index(name.lower()))

    def _interval(self, node: exp.Expr) -> Typed:
        if (unit := node.args.get("unit")) is None:
            raise QueryError("SYNTAX_ERROR", "mismatched input: an interval needs a unit")
        units = (unit.this.name, unit.expression.name) if isinstance(unit, exp.IntervalSpan) else (unit.name, "")
        return Typed(*interval(node.this.name, *(name.upper() for name in units)))

    # Conditions

    def _comparison(self, node: exp.Expr, operator: str) -> Typed:
        left, right = self.of(node.this), node.expression
        word = right.name.upper() if isinstance(right, exp.Anonymous) else type(right).__name__.upper()
        if word not in ("ANY", "SOME", "ALL"):
            return compare(left, operator, self.of(right))
        left, sql = self._against(left, (right.expressions or [right.this])[0].unnest(), operator)
        return Typed(f"({left.sql} {operator} {word} ({sql}))", types.BOOLEAN)

    def _against(self, left: Typed, query: exp.Expr, operator: str) -> tuple[Typed, str]:
        """Return a value and the rows of a query of one column, brought to one type."""
        relation = self.subquery(query, self.scope)
        if len(relation.columns) != 1:
            raise QueryError("TYPE_MISMATCH", f"Multiple columns returned by subquery: {len(relation.columns)}")
        right = Typed("c", relation.columns[0][1])
        met = types.common(left.type, right.type)
        if met is None:
            raise mismatch(left, operator, right)
        return left.to(met), f"SELECT {right.to(met).sql} FROM ({relation.sql}) AS s(c)"

    def _in(self, node: exp.Expr) -> Typed:
        left = self.of(node.this)
        first = node.expressions[0] if node.expressions else None
        if query := node.args.get("query") or (first if isinstance(first, (exp.Values, exp.Query)) else None):
            left, sql = self._against(left, query.unnest(), "=")
            return Typed(f"({left.sql} IN ({sql}))", types.BOOLEAN)
        for value in node.expressions:
            compare(left, "=", self.of(value))
        return self.call("in", [left, *map(self.of, node.expressions)])

    def _between(self, node: exp.Expr) -> Typed:
        value = self.of(node.this)
        low, high = compare(value, ">=", self.of(node.args["low"])), compare(value, "<=", self.of(node.args["high"]))
        return Typed(f"({low.sql} AND {high.sql})", types.BOOLEAN)

    def _is(self, node: exp.Expr) -> Typed:
        if not isinstance(node.expression, exp.Null):
            raise QueryError("SYNTAX_ERROR", f"mismatched input in {node.sql('trino')}: IS takes NULL or DISTINCT FROM")
        return Typed(f"({self.of(node.this).sql} IS NULL)", types.BOOLEAN)

    def _like(self, node: exp.Expr, *escape: exp.Expr) -> Typed:
        found = self.call("like", [self.of(n) for n in (node.this, node.expression, *escape)])
        return Typed(f"(NOT {found.sql})", found.type) if node.args.get("negate") else found

    def _escape(self, node: exp.Expr) -> Typed:
        return self._like(node.this, node.expression)

    def _exists(self, node: exp.Expr) -> Typed:
        return Typed(f"EXISTS ({self.subquery(node.this, self.scope).sql})", types.BOOLEAN)

    def _subquery(self, node: exp.Expr) -> Typed:
        relation = self.subquery(node.unnest(), self.scope)
        if len(relation.columns) != 1:
            raise NotEmulated("a subquery of several columns as a value")
        return Typed(f"({relation.sql})", relation.columns[0][1])

    def _case(self, node: exp.Expr) -> Typed:
        branches, subject, last = node.args["ifs"], node.this and self.of(node.this), node.args.get("default")
        tests = [compare(subject, "=", self.of(b.this)).sql if subject else self.boolean(b.this) for b in branches]
        values = [self.of(n) for n in [b.args["true"] for b in branches] + ([last] if last else [])]
        met = self.call("coalesce", values).type
        arms = "".join(f" WHEN {test} THEN {value.to(met).sql}" for test, value in zip(tests, values, strict=False))
        return Typed(f"CASE{arms}{f' ELSE {values[-1].to(met).sql}' if last else ''} END", met)

    # What holds other values

    def _bracket(self, node: exp.Expr) -> Typed:
        value, index = self.of(node.this), self.of(node.expressions[0])
        if value.type.name == "row" and (index.literal or "").isdecimal():
            if not 0 < int(index.literal or 0) <= len(value.type.items):
                raise QueryError("INVALID_FUNCTION_ARGUMENT", f"{value.type} has no field {index.literal}")
            return part_of(value, int(index.literal or 0) - 1)
        return self.call("subscript", [value, index])

    def _tuple(self, node: exp.Expr) -> Typed:
        return _row([self.of(n) for n in node.expressions])

    # Casts and calls in other clothes

    def _cast(self, node: exp.Expr) -> Typed:
        to, value = node.args["to"], self.of(node.this)
        if to.this == exp.DType.DECIMAL and not to.expressions and value.literal is not None and node.this.is_string:
            return cast(value, decimal_literal(value.literal)[1])
        return cast(value, types.athena_type(to.sql("trino")))

    def _trycast(self, node: exp.Expr) -> Typed:
        return self.call("try", [self._cast(node)])

    def _extract(self, node: exp.Expr) -> Typed:
        unit = EXTRACTED.get(node.this.name.upper())
        return self.call(unit, [self.of(node.expression)]) if unit else self._unknown(node)

    def _trim(self, node: exp.Expr) -> Typed:
        side = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(node.args.get("position") or "", "trim")
        return self.call(side, [self.of(n) for n in (node.this, node.args.get("expression")) if n is not None])

    # Calls

    def _anonymous(self, node: exp.Expr) -> Typed:
        """Return a function with what may stand around it: FILTER, OVER, DISTINCT, ORDER BY, IGNORE NULLS."""
        extras = dict.fromkeys(AROUND, "")
        while isinstance(node, (exp.Window, exp.Filter, exp.IgnoreNulls, exp.RespectNulls)):
            if isinstance(node, exp.Window):
                extras["f"] = f" OVER ({self._over(node)})"
            elif isinstance(node, exp.Filter):
                extras["f"] = f" FILTER (WHERE {self.boolean(node.expression.this)}){extras['f']}"
            elif isinstance(node, exp.IgnoreNulls):
                extras["i"] = " IGNORE NULLS"
            node = node.this
        name, nodes = node.name.lower(), list(node.expressions)
        if isinstance(node, exp.GroupConcat):
            if node.args.get("on_overflow") or not isinstance(node.this, exp.Order):
                raise NotEmulated("listagg without WITHIN GROUP, or with ON OVERFLOW")
            name, nodes = "listagg", [node.this, node.args.get("separator") or exp.Literal.string("")]
        elif not isinstance(node, exp.Anonymous):
            return self._unknown(node)
        for i, order in enumerate(nodes):
            if isinstance(order, exp.Order):
                extras["o"], nodes[i] = f" ORDER BY {self.order(order.expressions)}", order.this
        if nodes and isinstance(nodes[0], exp.Distinct):
            extras["d"], nodes = "DISTINCT ", nodes[0].expressions + nodes[1:]
        nodes = [n for n in nodes if not (name == "count" and isinstance(n, exp.Star))]
        args = [n if isinstance(n, exp.Lambda) else self.of(n) for n in nodes]
        if name == "mod" and len(args) == 2:
            return self._calculation("%", *args)
        special = {"row": _row, "format": formatted}.get(name)
        return special(args) if special and args else self.call(name, args, extras)

    _filter = _window = _groupconcat = _anonymous

    def _over(self, node: exp.Expr) -> str:
        parts = []
        if by := node.args.get("partition_by"):
            parts.append("PARTITION BY " + ", ".join(self.of(part).sql for part in by))
        if order := node.args.get("order"):
            parts.append("ORDER BY " + self.order(order.expressions))
        if spec := node.args.get("spec"):
            bounds = []
            for side in ("start", "end"):
                bound = spec.args.get(side) or "CURRENT ROW"
                if not isinstance(bound, str):
                    offset = self.of(bound)
                    if spec.args.get("exclude") or offset.type.kind not in ("integer", "decimal") or not offset.literal:
                        raise NotEmulated(f"a window of {spec.sql('trino')}")
                    bound = offset.sql
                bounds.append(f"{bound} {spec.args.get(f'{side}_side') or ''}".strip())
            parts.append(f"{spec.args['kind']} BETWEEN {bounds[0]} AND {bounds[1]}")
        return " ".join(parts)

    def call(self, name: str, args: Sequence[Any], extras: dict[str, str] | None = None) -> Typed:
        """Return a call of a function on the list; arguments are typed values, or lambdas as parsed."""
        known = signatures().get(name)
        if not known:
            if name not in KNOWN and not name.startswith("st_"):
                raise QueryError("FUNCTION_NOT_FOUND", f"Function '{name}' not registered")
            raise NotEmulated(f"function {name}")
        for exact in (True, False):
            for signature in known:
                parameters = signature.takes(len(args))
                if parameters is not None and (bound := self._bound(parameters, args, exact=exact)):
                    return self._written(signature, parameters, args, bound, extras or {})
        shown = f"{name}({', '.join(str(arg.type) if isinstance(arg, Typed) else 'function' for arg in args)})"
        if known[0].kind == "op":
            raise QueryError("TYPE_MISMATCH", f"Operands do not fit: {shown}")
        raise NotEmulated(f"function {shown}")

    def _bound(self, parameters: Sequence[str], args: Sequence[Any], *, exact: bool) -> Bindings | None:
        bound = Bindings()
        for parameter, arg in zip(parameters, args, strict=True):
            if isinstance(arg, Typed) == ("~" in parameter):
                return None
            if parameter.startswith(":"):
                if arg.literal is None or (arg.type.kind == "integer") != (parameter in WHOLE):
                    return None
            elif isinstance(arg, Typed) and not bound.matches(parameter, arg.type, exact=exact):
                return None
        return bound

    def _written(
        self,
        signature: Signature,
        parameters: Sequence[str],
        args: Sequence[Any],
        bound: Bindings,
        extras: dict[str, str],
    ) -> Typed:
        average = signature.result == "decimal:average"
        for key, what in AROUND.items():
            if extras.get(key) and f"{{{key}}}" not in signature.template and not average:
                raise NotEmulated(f"{signature.name} with {what}")
        if signature.kind == "win" and " OVER " not in extras.get("f", ""):
            raise QueryError("MISSING_OVER", f"Window function {signature.name} requires OVER")
        written: list[str] = []
        for parameter, arg in zip(parameters, args, strict=True):
            if parameter.startswith(":"):
                many = groups(written[1]) if len(written) > 1 else 0
                make = LITERALS.get(parameter)
                written.append(make(arg.literal) if make else replacement(arg.literal, many))
                if parameters[1] == ":pattern" and parameter == ":integer" and int(arg.literal) > many:
                    raise QueryError("INVALID_FUNCTION_ARGUMENT", f"Pattern has no group {arg.literal}")
            elif "~" in parameter:
                written.append(self._function_of(parameter, arg, bound))
            elif "decimal(p,s)" in parameter and (arg.type.bare or types.unsure(arg.type)):
                raise NotEmulated(BARE)
            elif parameter == "_" or (parameter == "decimal(p,s)" and arg.type.name == "decimal"):
                written.append(arg.sql)
            else:
                written.append(arg.to(bound.filled(parameter)).sql)
        result = bound.filled(signature.result)
        if signature.template == "!":
            raise NotEmulated(f"{signature.name}({', '.join(str(arg.type) for arg in args)})")
        sql = signature.written(written, {"t": types.duckdb_type(result), "s": str(result.numbers[-1:])[1:-2]} | extras)
        if average:
            total, rows = sql.split(" / ")
            return quotient(Typed(total, types.decimal(38, result.numbers[1])), Typed(rows, types.BIGINT), result)
        return Typed(sql, result)

    def _function_of(self, parameter: str, node: exp.Expr, bound: Bindings) -> str:
        given, _, wanted = parameter.partition("~")
        names = [n.name for n in node.expressions]
        kinds = [bound.filled(part) for part in re.split("[;&]", given)]
        if len(names) != len(kinds):
            raise QueryError("INVALID_FUNCTION_ARGUMENT", f"Expected a lambda that takes {len(kinds)} arguments")
        shown = [types.quoted(f"{name}_{id(node) % 9973}") for name in names]
        read, taken = shown, ", ".join(shown)
        if "&" in given:  # both are fields of one entry of a map, or of one pair
            read, taken = [f"struct_extract_at({shown[0]}, {i})" for i in (1, 2)], shown[0]
        values = map(Typed, read, kinds)
        local: dict[str, Typed | None] = dict(zip((name.lower() for name in names), values, strict=False))
        body = Expressions(self.scope.inside(local), self.subquery).of(node.this)
        before = bound.types.get(wanted)
        if not bound.matches(wanted, body.type, exact=False) or before not in (None, bound.filled(wanted)):
            raise QueryError("TYPE_MISMATCH", f"The lambda returns {body.type}, expected {before or wanted}")
        return f"lambda {taken}: {body.to(bound.filled(wanted)).sql}"


def _row(values: Sequence[Typed]) -> Typed:
    t = types.row([("", value.type) for value in values])
    packed = ", ".join(f"{types.quoted(t.field(i))} := {value.sql}" for i, value in enumerate(values))
    return Typed(f"struct_pack({packed})", t)


def groups(pattern: str) -> int:
    """Return how many groups a regular expression has."""
    return len(re.findall(r"(?<!\\)(?:\\\\)*\((?!\?)", pattern))


def part_of(value: Typed, index: int) -> Typed:
    """Return one field of a row."""
    return Typed(f"struct_extract({value.sql}, {quote(value.type.field(index))})", value.type.items[index])


def direction(node: exp.Expr) -> str:
    """Return the direction of a sort key."""
    return f" {'DESC' if node.args.get('desc') else 'ASC'} NULLS {'FIRST' if node.args.get('nulls_first') else 'LAST'}"
