"""Conditions of sqlglot's syntax tree as ours: NOT goes down to the comparisons as they are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from sqlglot import exp

from quanta_tissu.tissdb.tissql import ir
from quanta_tissu.tissdb.tissql.reader import MAX_EXPRESSION_DEPTH, Reader, fail, span_of

Legs = Literal["all", "match"] | None
"""Which conditions that search may stand somewhere."""

_NEGATED: dict[str, ir.Comparison] = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}

_COMPARISONS: dict[type[exp.Expr], ir.Comparison] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}


class ConditionReader(Reader):
    """As `Reader`, and reads conditions."""

    def condition(self, node: exp.Expr, *, negated: bool = False, legs: Legs = None) -> ir.Condition:
        """What a node says, as a condition.

        Args:
            node: The node.
            negated: Its contrary.
            legs: Whether MATCH and NEAR may stand here, or MATCH alone; None: neither.
        """
        self._depth += 1
        if self._depth > MAX_EXPRESSION_DEPTH:
            raise fail(
                self.text, node, f"a condition nested more than {MAX_EXPRESSION_DEPTH} levels deep", "simplify it"
            )
        try:
            return self._condition(node, negated, legs)
        finally:
            self._depth -= 1

    def _condition(self, node: exp.Expr, negated: bool, legs: Legs) -> ir.Condition:
        if isinstance(node, exp.Paren):
            return self.condition(self.single(node, "this"), negated=negated, legs=legs)
        if isinstance(node, exp.Not):
            return self.condition(self.single(node, "this"), negated=not negated, legs=legs and "match")
        if isinstance(node, exp.And | exp.Or):
            nodes = self.limited(node, list(_chain(node)))
            both = isinstance(node, exp.And) != negated
            inside: Legs = legs if both else legs and "match"
            items = tuple(self.condition(part, negated=negated, legs=inside) for part in nodes)
            return ir.All(items) if both else ir.Some(items)
        if type(node) in _COMPARISONS:
            self.only(node, "this", "expression")
            operator = _COMPARISONS[type(node)]
            return ir.Compare(
                _NEGATED[operator] if negated else operator,
                self.expression(node.this),
                self.expression(node.expression),
            )
        if isinstance(node, exp.Like | exp.Escape):
            return self._like(node, negated)
        if isinstance(node, exp.In):
            return self._in(node, negated)
        if isinstance(node, exp.Between):
            return self._between(node, negated)
        if isinstance(node, exp.Is):
            return self._is(node, negated)
        if isinstance(node, exp.Exists):
            found = self.expression(self.single(node, "this"))
            if not isinstance(found, ir.FieldOf):
                raise fail(self.text, node, "EXISTS takes the path of a field", "EXISTS author.name")
            return ir.Exists(found, negated)
        if isinstance(node, exp.Anonymous) and str(node.this).upper() in ("MATCH", "NEAR"):
            return self._leg(node, negated, legs)
        if isinstance(node, exp.Boolean):
            return ir.Truth(bool(node.this) != negated)
        value = self.expression(node)
        if not isinstance(value, ir.FieldOf | ir.Parameter | ir.Case | ir.Coalesce):
            raise fail(self.text, node, "this is no condition", "compare it: a > 1, a = 'x', a IS NOT NULL")
        return ir.Compare("=", value, ir.Constant(not negated, "bool"))

    def _like(self, node: exp.Expr, negated: bool) -> ir.Condition:
        escape = ""
        if isinstance(node, exp.Escape):
            self.only(node, "this", "expression")
            escape = str(node.expression.this) if isinstance(node.expression, exp.Literal) else ""
            if len(escape) != 1 or escape in "%_":
                raise fail(self.text, node.expression, "ESCAPE takes one character", "LIKE '100!%' ESCAPE '!'")
            node = node.this
        if not isinstance(node, exp.Like):
            raise fail(
                self.text, node, "this is not supported", "LIKE, with % and _; it minds upper and lower case"
            )
        self.only(node, "this", "expression", "negate")
        negated = negated != bool(node.args.get("negate"))
        return ir.Like(
            self.expression(node.this), self.constant(node.expression), escape, negated, span_of(node.expression)
        )

    def _in(self, node: exp.In, negated: bool) -> ir.Condition:
        self.only(node, "this", "expressions", "field")
        items = [node.args["field"]] if node.args.get("field") is not None else node.expressions
        if node.args.get("field") is not None and not isinstance(items[0], exp.Placeholder):
            raise fail(self.text, node, "IN takes values in brackets, or one parameter", "IN (1, 2), IN :values")
        values = tuple(self.constant(item) for item in self.limited(node, items))
        if not values:
            raise fail(self.text, node, "IN takes at least one value", "IN (1, 2), IN :values")
        return ir.In(self.expression(node.this), values, negated, span_of(node))

    def _between(self, node: exp.Between, negated: bool) -> ir.Condition:
        self.only(node, "this", "low", "high")
        value, low, high = (self.expression(node.args[name]) for name in ("this", "low", "high"))
        if negated:
            return ir.Some((ir.Compare("<", value, low), ir.Compare(">", value, high)))
        return ir.All((ir.Compare(">=", value, low), ir.Compare("<=", value, high)))

    def _is(self, node: exp.Is, negated: bool) -> ir.Condition:
        self.only(node, "this", "expression")
        other = node.expression
        if isinstance(other, exp.Not):
            other, negated = other.this, not negated
        if not isinstance(other, exp.Null):
            raise fail(self.text, node, "IS is for NULL", "a = TRUE; a IS NULL, a IS NOT NULL")
        return ir.IsNull(self.expression(node.this), negated)

    def _leg(self, node: exp.Anonymous, negated: bool, legs: Legs) -> ir.Condition:
        name = str(node.this).upper()
        if legs is None:
            raise fail(self.text, node, f"{name} stands in WHERE", "no HAVING, ON or CASE around it")
        if name == "NEAR" and legs == "match":
            raise fail(
                self.text, node, "NEAR is joined to other conditions by AND", "it chooses among what suits them"
            )
        count = (2,) if name == "MATCH" else (2, 3)
        if len(node.expressions) not in count:
            raise fail(
                self.text, node, f"{name} does not take this", "MATCH(index, 'words'), NEAR(index, :vector, 10)"
            )
        (source, index), what = self._index_of(node.expressions[0]), self.constant(node.expressions[1])
        if name == "MATCH":
            return ir.Match(index, what, source, negated, legs == "all", span_of(node))
        k = self.constant(node.expressions[2]) if len(node.expressions) == 3 else ir.Constant(10, "int")
        return ir.Near(index, what, k, source, span_of(node))

    def _index_of(self, node: exp.Expr) -> tuple[str, str]:
        """The source and the name of an index; where there is one source, its name may be left out."""
        source = node.table if isinstance(node, exp.Column) else ""
        known = [one.alias for one in self.sources]
        if source not in known and (source or len(known) > 1):
            raise fail(
                self.text, node, "of which collection is this index?", f"begin with one of: {', '.join(known)}"
            )
        return source or known[0], self._index_name(node)

    def _case(self, node: exp.Case) -> ir.Expression:
        """CASE WHEN condition THEN value, or CASE value WHEN other THEN value, which compares by `=`."""
        self.only(node, "this", "ifs", "default")
        with self.choosing(node):
            subject = None if node.this is None else self.expression(node.this)
            branches = []
            for branch in self.limited(node, node.args["ifs"]):
                self.only(branch, "this", "true")
                when = (
                    self.condition(branch.this)
                    if subject is None
                    else ir.Compare("=", subject, self.expression(branch.this))
                )
                branches.append((when, self.expression(branch.args["true"])))
            default = node.args.get("default")
            otherwise = ir.Constant(None, "NoneType") if default is None else self.expression(default)
            return ir.Case(tuple(branches), otherwise)

    _READERS = {**Reader._READERS, exp.Case: _case}  # noqa: RUF012


def _chain(node: exp.Expr) -> Iterator[exp.Expr]:
    """Conditions joined by the same word, in order; the tree leans left as far as the chain is long."""
    kind = type(node)
    found: list[exp.Expr] = []
    at: Any = node
    while type(at) is kind:
        found.append(at.expression)
        at = at.this
    found.append(at)
    return reversed(found)
