# ruff: noqa: S608 - the texts are literals and names that were parsed and quoted
"""Expressions of Trino's SQL, typed and written in DuckDB's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from aws_emulator.athena.arithmetic import calculate, compare, mismatch, quotient
from aws_emulator.athena.casts import cast
from aws_emulator.athena.errors import NotEmulated, QueryError
from aws_emulator.athena.literals import LITERALS, quote
from aws_emulator.athena.signatures import Bindings, Signature, Typed, signatures
from aws_emulator.athena.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DAYS,
    DOUBLE,
    INTEGER,
    MONTHS,
    TIMESTAMP,
    UNKNOWN,
    VARBINARY,
    VARCHAR,
    ZONED,
    AthenaType,
    array,
    athena_type,
    common,
    decimal,
    duckdb_type,
    field_name,
    quoted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aws_emulator.athena.scopes import Relation, Scope

COMPARISONS = {exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<="}
OPERATORS = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%"}
EXTRACTED = {"DOW": "day_of_week", "DAY_OF_WEEK": "day_of_week", "DOY": "day_of_year", "DAY_OF_YEAR": "day_of_year",
             "DAY_OF_MONTH": "day", "YOW": "year_of_week"}  # fmt: skip
PARTS = ("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "YEAR_OF_WEEK", *EXTRACTED)
SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86_400, "WEEK": 604_800}


def decimal_literal(text: str) -> AthenaType:
    """Return the type of a decimal literal: its digits without leading zeros (``Decimals.parse``)."""
    whole, _, fraction = text.lstrip("+-").partition(".")
    return decimal(max(1, len(whole.lstrip("0")) + len(fraction)), len(fraction))


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
        kind = type(node)
        if kind in COMPARISONS:
            return self._comparison(node, COMPARISONS[kind])
        if kind in OPERATORS:
            return calculate(self.of(node.this), OPERATORS[kind], self.of(node.expression))
        handler = getattr(self, f"_{kind.__name__.lower()}", None)
        if handler is None:
            raise NotEmulated(f"{node.sql('trino')} ({kind.__name__})")
        found: Typed = handler(node)
        return found

    def boolean(self, node: exp.Expr) -> str:
        """Return a condition."""
        found = self.of(node)
        if found.type.name not in ("boolean", "unknown"):
            raise QueryError(
                "TYPE_MISMATCH", f"{node.sql('trino')} must evaluate to a boolean: actual type {found.type}"
            )
        return found.sql if found.type == BOOLEAN else "CAST(NULL AS BOOLEAN)"

    def united(self, nodes: Sequence[Any]) -> list[Typed]:
        """Return values brought to the type that all of them have in common."""
        values = [self.of(node) for node in nodes]
        met = UNKNOWN
        for value in values:
            wider = common(met, value.type)
            if wider is None:
                raise QueryError("TYPE_MISMATCH", f"All operands must be the same type: {met}, {value.type}")
            met = wider
        return values if met == UNKNOWN else [value.to(met) for value in values]

    # Literals and names

    def _literal(self, node: exp.Expr) -> Typed:
        text = node.this
        if node.is_string:
            return Typed(quote(text), VARCHAR, text)
        if re.fullmatch(r"\d+", text):
            if int(text) >= 2**63:
                raise QueryError("NUMERIC_VALUE_OUT_OF_RANGE", f"Invalid numeric literal: {text}")
            return Typed(text, INTEGER if int(text) < 2**31 else BIGINT, text)
        if re.fullmatch(r"\d*\.\d*", text):
            t = decimal_literal(text)
            return Typed(f"CAST('{text}' AS {duckdb_type(t)})", t, text)
        return Typed(f"CAST({float(text)!r} AS DOUBLE)", DOUBLE, text)

    def _boolean(self, node: exp.Expr) -> Typed:
        return Typed("true" if node.this else "false", BOOLEAN)

    def _null(self, node: exp.Expr) -> Typed:
        return Typed("NULL", UNKNOWN)

    def _hexstring(self, node: exp.Expr) -> Typed:
        return Typed(f"unhex({quote(node.this)})", VARBINARY)

    def _paren(self, node: exp.Expr) -> Typed:
        return self.of(node.this)

    def _column(self, node: exp.Expr) -> Typed:
        names = [part.name for part in node.parts]
        return self._name(names)

    def _identifier(self, node: exp.Expr) -> Typed:
        return self._name([node.name])

    def _name(self, names: list[str]) -> Typed:
        value, fields = self.scope.find(names)
        for name in fields:
            value = self._field(value, name)
        return value

    def _dot(self, node: exp.Expr) -> Typed:
        return self._field(self.of(node.this), node.expression.name)

    def _field(self, value: Typed, name: str) -> Typed:
        if value.type.name != "row":
            raise QueryError("TYPE_MISMATCH", f"Expression of type {value.type} is not of type ROW: field {name}")
        names = [field.lower() for field in value.type.fields]
        if name.lower() not in names:
            raise QueryError("COLUMN_NOT_FOUND", f"Column '{name}' cannot be resolved: {value.type} has no such field")
        index = names.index(name.lower())
        return Typed(f"struct_extract({value.sql}, {quote(field_name(value.type, index))})", value.type.items[index])

    # Conditions

    def _comparison(self, node: exp.Expr, operator: str) -> Typed:
        left, right = self.of(node.this), node.expression
        if isinstance(right, (exp.Any, exp.All)):
            inner = right.this.unnest() if isinstance(right.this, (exp.Subquery, exp.Paren)) else right.this
            word = "ANY" if isinstance(right, exp.Any) else "ALL"
            left, sql = self._against(left, inner, operator)
            return Typed(f"({left.sql} {operator} {word} ({sql}))", BOOLEAN)
        return compare(left, operator, self.of(right))

    def _against(self, left: Typed, query: exp.Expr, operator: str) -> tuple[Typed, str]:
        """Return a value and the rows of a query of one column, brought to one type."""
        relation = self.subquery(query, self.scope)
        if len(relation.columns) != 1:
            raise QueryError("TYPE_MISMATCH", f"Multiple columns returned by subquery: {len(relation.columns)}")
        given = relation.columns[0][1]
        met = common(left.type, given)
        if met is None:
            raise mismatch(left, operator, Typed("", given))
        left = left.to(met)
        return left, f"SELECT {Typed('c', given).to(met).sql} FROM ({relation.sql}) AS s(c)"

    def _in(self, node: exp.Expr) -> Typed:
        left = self.of(node.this)
        if query := node.args.get("query"):
            left, sql = self._against(left, query.unnest(), "=")
            return Typed(f"({left.sql} IN ({sql}))", BOOLEAN)
        if node.args.get("unnest") or node.args.get("field"):
            raise NotEmulated(node.sql("trino"))
        values = [self.of(value) for value in node.expressions]
        for value in values:
            compare(left, "=", value)
        left, *values = self.united([node.this, *node.expressions])
        return Typed(f"({left.sql} IN ({', '.join(value.sql for value in values)}))", BOOLEAN)

    def _between(self, node: exp.Expr) -> Typed:
        value = self.of(node.this)
        low, high = compare(value, ">=", self.of(node.args["low"])), compare(value, "<=", self.of(node.args["high"]))
        return Typed(f"({low.sql} AND {high.sql})", BOOLEAN)

    def _and(self, node: exp.Expr) -> Typed:
        return Typed(f"({self.boolean(node.this)} AND {self.boolean(node.expression)})", BOOLEAN)

    def _or(self, node: exp.Expr) -> Typed:
        return Typed(f"({self.boolean(node.this)} OR {self.boolean(node.expression)})", BOOLEAN)

    def _not(self, node: exp.Expr) -> Typed:
        return Typed(f"(NOT {self.boolean(node.this)})", BOOLEAN)

    def _is(self, node: exp.Expr) -> Typed:
        if not isinstance(node.expression, exp.Null):
            raise QueryError("SYNTAX_ERROR", f"mismatched input in {node.sql('trino')}: IS takes NULL or DISTINCT FROM")
        return Typed(f"({self.of(node.this).sql} IS NULL)", BOOLEAN)

    def _nullsafeeq(self, node: exp.Expr, word: str = "IS NOT DISTINCT FROM") -> Typed:
        left, right = self.of(node.this), self.of(node.expression)
        compare(left, "=", right)
        left, right = self.united([node.this, node.expression])
        return Typed(f"({left.sql} {word} {right.sql})", BOOLEAN)

    def _nullsafeneq(self, node: exp.Expr) -> Typed:
        return self._nullsafeeq(node, "IS DISTINCT FROM")

    def _like(self, node: exp.Expr, escape: str = "") -> Typed:
        left, right = self.of(node.this), self.of(node.expression)
        if {left.type.name, right.type.name} - {"varchar", "unknown"}:
            raise mismatch(left, "LIKE", right)
        return Typed(f"({left.sql} LIKE {right.sql}{escape})", BOOLEAN)

    def _escape(self, node: exp.Expr) -> Typed:
        return self._like(node.this, f" ESCAPE {self.of(node.expression).sql}")

    def _exists(self, node: exp.Expr) -> Typed:
        return Typed(f"EXISTS ({self.subquery(node.this, self.scope).sql})", BOOLEAN)

    def _subquery(self, node: exp.Expr) -> Typed:
        relation = self.subquery(node.unnest(), self.scope)
        if len(relation.columns) != 1:
            raise NotEmulated("a subquery of several columns as a value")
        return Typed(f"({relation.sql})", relation.columns[0][1])

    def _case(self, node: exp.Expr) -> Typed:
        subject = self.of(node.this) if node.this else None
        tests = [
            compare(subject, "=", self.of(branch.this)).sql if subject else self.boolean(branch.this)
            for branch in node.args["ifs"]
        ]
        last = node.args.get("default")
        values = self.united([branch.args["true"] for branch in node.args["ifs"]] + ([last] if last else []))
        arms = " ".join(f"WHEN {test} THEN {value.sql}" for test, value in zip(tests, values, strict=False))
        end = f" ELSE {values[-1].sql}" if last else ""
        return Typed(f"CASE {arms}{end} END", values[0].type)

    def _if(self, node: exp.Expr) -> Typed:
        values = self.united([node.args["true"], node.args.get("false") or exp.Null()])
        return Typed(
            f"CASE WHEN {self.boolean(node.this)} THEN {values[0].sql} ELSE {values[1].sql} END", values[0].type
        )

    # Operators

    def _neg(self, node: exp.Expr) -> Typed:
        value = self.of(node.this)
        if value.type.kind not in ("integer", "decimal", "real", "double", "unknown") and value.type not in (
            DAYS,
            MONTHS,
        ):
            raise QueryError("TYPE_MISMATCH", f"Cannot negate {value.type}")
        return Typed(f"(-{value.sql})", value.type, f"-{value.literal}" if value.literal else None)

    def _dpipe(self, node: exp.Expr) -> Typed:
        left, right = self.of(node.this), self.of(node.expression)
        for a, b in ((left, right), (right, left)):
            if a.type.name == "array" and b.type.name != "array" and common(a.type.items[0], b.type):
                met = array(common(a.type.items[0], b.type) or UNKNOWN)
                one = f"[{b.to(met.items[0]).sql}]"
                return Typed(f"({a.to(met).sql} || {one})" if a is left else f"({one} || {a.to(met).sql})", met)
        return self.call("concat", [left, right])

    def _interval(self, node: exp.Expr) -> Typed:
        unit = node.args["unit"]
        if not isinstance(node.this, exp.Literal) or not isinstance(unit, exp.Var):
            raise NotEmulated(node.sql("trino"))
        name, number = unit.name.upper(), node.this.this
        if not re.fullmatch(r"[+-]?\d+(\.\d{1,3})?" if name == "SECOND" else r"[+-]?\d+", number):
            raise QueryError("INVALID_LITERAL", f"Invalid INTERVAL {name} value: {number}")
        if name in ("YEAR", "MONTH"):
            return Typed(f"to_months({int(number) * (12 if name == 'YEAR' else 1)})", MONTHS)
        if name not in SECONDS:
            raise QueryError("SYNTAX_ERROR", f"{name} is not a unit of an interval")
        if name in ("DAY", "WEEK"):
            return Typed(f"to_days({int(number) * SECONDS[name] // 86_400})", DAYS)
        return Typed(f"to_milliseconds({round(float(number) * 1000) * SECONDS[name]})", DAYS, "time")

    def _array(self, node: exp.Expr) -> Typed:
        values = self.united(node.expressions)
        item = values[0].type if values else UNKNOWN
        return Typed(f"[{', '.join(value.sql for value in values)}]", array(item))

    def _tuple(self, node: exp.Expr) -> Typed:
        return self._row(node.expressions)

    def _row(self, nodes: Sequence[Any]) -> Typed:
        values = [self.of(node) for node in nodes]
        t = AthenaType("row", items=tuple(v.type for v in values), fields=("",) * len(values))
        packed = ", ".join(f"{quoted(field_name(t, i))} := {value.sql}" for i, value in enumerate(values))
        return Typed(f"struct_pack({packed})", t)

    def _bracket(self, node: exp.Expr) -> Typed:
        value, index = self.of(node.this), self.of(node.expressions[0])
        if value.type.name == "array" and index.type.kind == "integer":
            return Typed(f"element_or_fail({value.sql}, {index.to(BIGINT).sql})", value.type.items[0])
        if value.type.name == "map" and common(index.type, value.type.items[0]) == value.type.items[0]:
            return Typed(f"item_or_fail({value.sql}, {index.to(value.type.items[0]).sql})", value.type.items[1])
        if (
            value.type.name == "row"
            and (index.literal or "").isdecimal()
            and 0 < int(index.literal or 0) <= len(value.type.items)
        ):
            at = int(index.literal or 0) - 1
            return Typed(f"struct_extract({value.sql}, {quote(field_name(value.type, at))})", value.type.items[at])
        raise QueryError("TYPE_MISMATCH", f"Cannot use {index.type} as an index of {value.type}")

    def _cast(self, node: exp.Expr) -> Typed:
        to = node.args["to"]
        value = self.of(node.this)
        if to.this == exp.DType.DECIMAL and not to.expressions and value.literal is not None and node.this.is_string:
            return cast(value, decimal_literal(value.literal))
        if to.this == exp.DType.TIMESTAMP and value.literal and re.search(r"[A-Za-z]|\d[+-]\d\d:", value.literal):
            raise NotEmulated(f"timestamp {value.literal!r} in a time zone")
        return cast(value, athena_type(to.sql("trino")))

    def _trycast(self, node: exp.Expr) -> Typed:
        found = self._cast(node)
        return Typed(f"TRY({found.sql})", found.type)

    def _extract(self, node: exp.Expr) -> Typed:
        unit = node.this.name.upper()
        if unit not in PARTS:
            raise NotEmulated(f"extract({unit})")
        return self.call(EXTRACTED.get(unit, unit.lower()), [self.of(node.expression)])

    def _trim(self, node: exp.Expr) -> Typed:
        side = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(node.args.get("position") or "", "trim")
        chars = node.args.get("expression")
        return self.call(side, [self.of(n) for n in (node.this, chars) if n is not None])

    def _strposition(self, node: exp.Expr) -> Typed:
        return self.call("strpos", [self.of(node.this), self.of(node.args["substr"])])

    def _substring(self, node: exp.Expr) -> Typed:
        return self.call("substr", [self.of(node.args[k]) for k in ("this", "start", "length") if node.args.get(k)])

    def _currentdate(self, node: exp.Expr) -> Typed:
        return Typed("CAST(now() AS DATE)", DATE)

    def _currenttimestamp(self, node: exp.Expr) -> Typed:
        return self.call("now", [])

    def _localtimestamp(self, node: exp.Expr) -> Typed:
        return Typed("CAST(date_trunc('millisecond', now()) AS TIMESTAMP)", TIMESTAMP)

    def _attimezone(self, node: exp.Expr) -> Typed:
        value = self.of(node.this)
        if value.type not in (ZONED, TIMESTAMP) or node.args["zone"].name != "UTC":
            raise NotEmulated(f"{node.sql('trino')}: another time zone than UTC")
        return value.to(ZONED)

    # Calls

    def _anonymous(self, node: exp.Expr) -> Typed:
        return self._call(node)

    def _filter(self, node: exp.Expr) -> Typed:
        return self._call(node)

    def _window(self, node: exp.Expr) -> Typed:
        return self._call(node)

    def _groupconcat(self, node: exp.Expr) -> Typed:
        return self._call(node)

    def _call(self, node: exp.Expr) -> Typed:
        """Return a function with what may stand around it: FILTER, OVER, DISTINCT, ORDER BY, IGNORE NULLS."""
        tail, nulls = "", ""
        while isinstance(node, (exp.Window, exp.Filter, exp.IgnoreNulls, exp.RespectNulls)):
            if isinstance(node, exp.Window):
                tail = f" OVER ({self._over(node)})"
            elif isinstance(node, exp.Filter):
                tail = f" FILTER (WHERE {self.boolean(node.expression.this)}){tail}"
            else:
                nulls = " IGNORE NULLS" if isinstance(node, exp.IgnoreNulls) else ""
            node = node.this
        if isinstance(node, exp.GroupConcat):
            if node.args.get("on_overflow"):
                raise NotEmulated("listagg with ON OVERFLOW")
            node = exp.Anonymous(
                this="listagg", expressions=[node.this, node.args.get("separator") or exp.Literal.string("")]
            )
        name, nodes = node.name.lower(), list(node.expressions)
        extras = {"f": tail, "i": nulls, "d": "", "o": ""}
        if nodes and isinstance(nodes[0], exp.Order):
            extras["o"] = f" ORDER BY {self.order(nodes[0].expressions)}"
            nodes[0] = nodes[0].this
        elif nodes and isinstance(nodes[-1], exp.Order):
            extras["o"] = f" ORDER BY {self.order(nodes[-1].expressions)}"
            nodes[-1] = nodes[-1].this
        if nodes and isinstance(nodes[0], exp.Distinct):
            extras["d"] = "DISTINCT "
            nodes = nodes[0].expressions + nodes[1:]
        if special := getattr(self, f"_call_{name}", None):
            if tail and name != "count":
                raise QueryError("FUNCTION_NOT_WINDOW", f"{name} is neither an aggregate nor a window function")
            found: Typed = special(nodes, extras)
            return found
        return self.call(name, [n if isinstance(n, exp.Lambda) else self.of(n) for n in nodes], extras)

    def _over(self, node: exp.Expr) -> str:
        if node.args.get("alias"):
            raise NotEmulated("named windows")
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
                    if spec.args["kind"].upper() != "ROWS" or self.of(bound).type.kind != "integer":
                        raise NotEmulated(f"a window of {spec.sql('trino')}")
                    bound = self.of(bound).sql
                bounds.append(f"{bound} {spec.args.get(f'{side}_side') or ''}".strip())
            if spec.args.get("exclude"):
                raise NotEmulated("EXCLUDE in a window")
            parts.append(f"{spec.args['kind']} BETWEEN {bounds[0]} AND {bounds[1]}")
        return " ".join(parts)

    def order(self, nodes: Sequence[Any]) -> str:
        """Return what follows ORDER BY; nulls come last in both directions unless said otherwise."""
        return ", ".join(self.of(node.this).sql + direction(node) for node in nodes)

    def call(self, name: str, args: Sequence[Any], extras: dict[str, str] | None = None) -> Typed:
        """Return a call of a function on the list with typed arguments or lambdas."""
        known = signatures().get(name)
        if not known:
            raise NotEmulated(f"function {name}")
        for exact in (True, False):
            for signature in known:
                parameters = signature.takes(len(args))
                if parameters is not None and (bound := self._bound(parameters, args, exact=exact)):
                    return self._written(signature, parameters, args, bound, extras or {})
        shown = ", ".join(str(arg.type) if isinstance(arg, Typed) else "function" for arg in args)
        raise NotEmulated(f"function {name}({shown})")

    def _bound(self, parameters: Sequence[str], args: Sequence[Any], *, exact: bool) -> Bindings | None:
        bound = Bindings()
        for parameter, arg in zip(parameters, args, strict=True):
            if isinstance(arg, Typed) == ("=>" in parameter):
                return None
            if parameter.startswith(":"):
                if arg.literal is None or (arg.type.kind == "integer") != (parameter == ":integer"):
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
        if signature.kind == "win" and " OVER " not in extras.get("f", ""):
            raise QueryError("EXPRESSION_NOT_IN_WINDOW", f"Window function {signature.name} requires OVER")
        for key, what in (("d", "DISTINCT"), ("o", "ORDER BY"), ("f", "FILTER or OVER"), ("i", "IGNORE NULLS")):
            if (
                extras.get(key)
                and f"{{{key}}}" not in signature.template
                and signature.name not in ("min", "max")
                and "decimal_average" not in signature.template
            ):
                raise NotEmulated(f"{signature.name} with {what}")
        written = []
        for parameter, arg in zip(parameters, args, strict=True):
            if parameter.startswith(":"):
                written.append(LITERALS[parameter](arg.literal))
            elif "=>" in parameter:
                written.append(self._lambda(parameter, arg, bound))
            elif parameter == "decimal(p,s)":
                written.append(
                    arg.sql if arg.type.name == "decimal" else arg.to(decimal(*(bound.digits or (38, 0)))).sql
                )
            else:
                written.append(arg.to(bound.filled(parameter)).sql)
        result = bound.filled(signature.result)
        if signature.template.startswith("decimal_average"):
            total = Typed(
                f"CAST(sum({extras.get('d', '')}{written[0]}){extras.get('f', '')} AS DECIMAL(38,{result.numbers[1]}))",
                decimal(38, result.numbers[1]),
            )
            rows = Typed(f"nullif(count({extras.get('d', '')}{written[0]}){extras.get('f', '')}, 0)", BIGINT)
            return quotient(total, rows, result)
        return Typed(fill(signature.template, written, {"t": duckdb_type(result)} | extras), result)

    def _lambda(self, parameter: str, node: exp.Expr, bound: Bindings) -> str:
        given, _, wanted = parameter.partition("=>")
        names = [n.name for n in node.expressions]
        types = [bound.filled(part) for part in given.split(";")]
        if len(names) != len(types):
            raise QueryError("INVALID_FUNCTION_ARGUMENT", f"Expected a lambda that takes {len(types)} arguments")
        local = {n.lower(): Typed(quoted(n), t) for n, t in zip(names, types, strict=True)}
        body = Expressions(self.scope.inside(local), self.subquery).of(node.this)
        if not bound.matches(wanted, body.type, exact=False) or (
            wanted in given.split(";")
            and body.type != bound.filled(wanted)
            and common(body.type, bound.filled(wanted)) != bound.filled(wanted)
        ):
            raise QueryError("TYPE_MISMATCH", f"The lambda returns {body.type}, expected {bound.filled(wanted)}")
        return f"lambda {', '.join(map(quoted, names))}: {body.to(bound.filled(wanted)).sql}"

    def _call_count(self, nodes: list[Any], extras: dict[str, str]) -> Typed:
        if not nodes or isinstance(nodes[0], exp.Star):
            return Typed(f"count(*){extras['f']}", BIGINT)
        return self.call("count", [self.of(node) for node in nodes], extras)

    def _call_coalesce(self, nodes: list[Any], extras: dict[str, str]) -> Typed:
        values = self.united(nodes)
        return Typed(f"coalesce({', '.join(value.sql for value in values)})", values[0].type)

    def _call_greatest(self, nodes: list[Any], extras: dict[str, str], name: str = "greatest") -> Typed:
        values = self.united(nodes)
        if values[0].type.kind not in (
            "integer",
            "decimal",
            "real",
            "double",
            "varchar",
            "boolean",
            "date",
            "timestamp",
            ZONED.name,
        ):
            raise NotEmulated(f"{name} of {values[0].type}")
        missing = " OR ".join(f"{value.sql} IS NULL" for value in values)
        return Typed(
            f"CASE WHEN {missing} THEN NULL ELSE {name}({', '.join(v.sql for v in values)}) END", values[0].type
        )

    def _call_least(self, nodes: list[Any], extras: dict[str, str]) -> Typed:
        return self._call_greatest(nodes, extras, "least")

    def _call_mod(self, nodes: list[Any], extras: dict[str, str]) -> Typed:
        return calculate(self.of(nodes[0]), "%", self.of(nodes[1]))

    def _call_row(self, nodes: list[Any], extras: dict[str, str]) -> Typed:
        return self._row(nodes)

    def _call_try(self, nodes: list[Any], extras: dict[str, str]) -> Typed:
        value = self.of(nodes[0])
        return Typed(f"TRY({value.sql})", value.type)

    def _call_date_add(self, nodes: list[Any], extras: dict[str, str]) -> Typed:
        unit, number, moment = nodes[0], self.of(nodes[1]), self.of(nodes[2])
        if not unit.is_string or number.type.kind != "integer" or moment.type not in (DATE, TIMESTAMP, ZONED):
            raise NotEmulated(f"date_add({unit.sql('trino')}, {number.type}, {moment.type})")
        name = LITERALS[":unit"](unit.this)[1:-1]
        if moment.type == DATE and name in ("hour", "minute", "second", "millisecond"):
            raise QueryError("INVALID_FUNCTION_ARGUMENT", f"'{name}' is not a valid DATE field")
        times, step = (3, "month") if name == "quarter" else (1, name)
        held = {"hour": "BIGINT", "minute": "BIGINT", "second": "DOUBLE", "millisecond": "DOUBLE"}.get(step, "INTEGER")
        sql = f"({moment.sql} + to_{step}s(CAST({number.sql} * {times} AS {held})))"
        return Typed(f"CAST({sql} AS DATE)" if moment.type == DATE else sql, moment.type)

    def _call_grouping(self, nodes: list[Any], extras: dict[str, str]) -> Typed:
        return Typed(f"grouping({', '.join(self.of(node).sql for node in nodes)})", BIGINT)


def direction(node: exp.Expr) -> str:
    """Return the direction of a sort key."""
    first = node.args.get("nulls_first") and node.args.get("explicit", True)
    return (" DESC" if node.args.get("desc") else " ASC") + (" NULLS FIRST" if first else " NULLS LAST")


def fill(template: str, args: Sequence[str], extras: dict[str, str]) -> str:
    """Return a template of ``functions.txt`` with arguments in the place of its braces."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return match[0][0]
        if name in "*|":
            return (", " if name == "*" else " || ").join(args)
        return args[int(name)] if name.isdecimal() else extras.get(name, "")

    return re.sub(r"\{\{|\}\}|\{([\w*|])\}", value, template)
