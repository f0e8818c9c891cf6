"""From sqlglot's syntax tree to our statements. What is not named here is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlglot import exp

from quanta_tissu.errors import QueryError
from quanta_tissu.tissdb.paths import path_text
from quanta_tissu.tissdb.tissql import ir
from quanta_tissu.tissdb.tissql.check import check_select, check_union
from quanta_tissu.tissdb.tissql.conditions import ConditionReader, Legs
from quanta_tissu.tissdb.tissql.reader import fail, span_of
from quanta_tissu.tissdb.tissql.tokens import syntax_tree


def parse(text: str) -> ir.Parsed:
    """The statement of a text.

    Raises:
        QueryError: It is none of TissQL; the error shows where.
    """
    tree, marks, explain = syntax_tree(text)
    reader = _StatementReader(text, marks)
    try:
        statement = reader.statement(tree)
    except RecursionError:
        raise QueryError("the statement is nested too deeply", statement=text, hint="simplify it") from None
    keys = reader.parameter_keys
    if any(isinstance(key, int) for key in keys) and any(isinstance(key, str) for key in keys):
        raise QueryError("both ? and :name are used", statement=text, hint="one kind of parameters in a statement")
    return ir.Parsed(text, statement, explain, tuple(sorted(keys, key=lambda key: (str(type(key)), key))))


class _StatementReader(ConditionReader):
    """Reads whole statements."""

    def statement(self, tree: exp.Expr) -> ir.Statement:
        readers: dict[type[exp.Expr], Callable[[Any], ir.Statement]] = {
            exp.Select: self.query,
            exp.Union: self.query,
            exp.Insert: self.insert,
            exp.Update: self.update,
            exp.Delete: self.delete,
        }
        read = readers.get(type(tree))
        if read is None:
            raise fail(self.text, tree, "this is no statement of TissQL", "SELECT, INSERT, UPDATE or DELETE")
        return read(tree)

    def query(self, tree: exp.Expr) -> ir.Query:
        while isinstance(tree, exp.Subquery):
            self.only(tree, "this")
            tree = tree.this
        if isinstance(tree, exp.Union):
            return self.union(tree)
        if isinstance(tree, exp.Select):
            return self.select(tree)
        raise fail(self.text, tree, "this is no query", "SELECT ... FROM ...")

    def union(self, tree: exp.Union) -> ir.Union:
        self.only(tree, "this", "expression", "distinct", "order", "limit", "offset")
        left, right = self.query(tree.this), self.query(tree.expression)
        for side, node in ((left, tree.this), (right, tree.expression)):
            if side.order or side.limit is not None or side.offset is not None:
                raise fail(
                    self.text, node, "ORDER BY and LIMIT of a union stand behind all of it", "move it to the end"
                )
        names = check_union(self.text, left, right, span_of(tree.expression))
        order = []
        for item in self._ordered(tree):
            column, descending = item.this, bool(item.args.get("desc"))
            name = column.name if isinstance(column, exp.Column) and not column.table else None
            if name not in names:
                raise fail(
                    self.text, column, "a union is sorted by names of its columns", f"columns: {', '.join(names)}"
                )
            order.append((names.index(name), descending))
        limit, offset = self._limits(tree)
        return ir.Union(left, right, not tree.args.get("distinct"), tuple(order), limit, offset)

    def select(self, tree: exp.Select) -> ir.Select:
        self.only(
            tree,
            "expressions",
            "from_",
            "joins",
            "where",
            "group",
            "having",
            "distinct",
            "order",
            "limit",
            "offset",
        )
        if tree.args.get("from_") is None:
            raise fail(self.text, tree, "FROM is missing", "SELECT ... FROM a collection")
        source = self.source(self.single(tree.args["from_"], "this"))
        self.sources = [source]
        nodes = tree.args.get("joins") or []
        for node in nodes:  # all names first: an ON sees those before it only, which `join` checks
            if any(one.alias == self._alias(node.this) for one in self.sources):
                raise fail(
                    self.text, node.this, "two sources have the same name", "give one another: FROM notes AS n"
                )
            self.sources.append(self.source(node.this))
        everything = self.sources
        joins = []
        for place, node in enumerate(nodes, 1):
            self.sources = everything[: place + 1]
            joins.append(self.join(node, everything[place]))
        self.sources = everything
        self.aliases = {}
        columns = self._columns(tree)
        distinct = tree.args.get("distinct")
        if distinct is not None:
            self.only(distinct)
        where = None if tree.args.get("where") is None else self._condition_of(tree.args["where"], legs="all")
        self.aliases = {
            node.alias: column.value
            for node, column in zip(tree.expressions, columns, strict=True)
            if isinstance(node, exp.Alias) and column.value is not None
        }
        groups = self._groups(tree)
        having = None if tree.args.get("having") is None else self._condition_of(tree.args["having"])
        order = tuple(
            ir.Order(self.expression(item.this), bool(item.args.get("desc"))) for item in self._ordered(tree)
        )
        self.aliases = {}
        limit, offset = self._limits(tree)
        select = ir.Select(
            columns, source, tuple(joins), where, groups, having, distinct is not None, order, limit, offset
        )
        return check_select(self.text, select, span_of(tree))

    def _columns(self, tree: exp.Select) -> tuple[ir.Column, ...]:
        nodes = self.limited(tree, tree.expressions)
        if not nodes:
            raise fail(self.text, tree, "nothing is selected", "SELECT * FROM ..., or names of fields")
        columns: list[ir.Column] = []
        for node in nodes:
            name = None
            if isinstance(node, exp.Alias):
                self.only(node, "this", "alias")
                name, node = node.alias, node.this
            star = isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star))
            if star:
                if len(self.sources) > 1 or name is not None or any(one.value is None for one in columns):
                    raise fail(
                        self.text,
                        node,
                        "* stands alone, for all fields of one collection",
                        "name the fields, in a join",
                    )
                if isinstance(node, exp.Column):
                    self._check_star_source(node)
                else:
                    self.only(node)
                columns.append(ir.Column("*", None))
                continue
            value = self.expression(node)
            columns.append(ir.Column(name or self._name(value, node), value))
        return _with_distinct_names(columns)

    def _check_star_source(self, node: exp.Column) -> None:
        self.only(node, "this", "table")
        if node.table not in (self.sources[0].alias, self.sources[0].collection):
            raise fail(self.text, node, f"there is no source {node.table!r}", f"it is {self.sources[0].alias!r}")

    def _name(self, value: ir.Expression, node: exp.Expr) -> str:
        """What a column is called that was given no name: after the last key of its path, or as it is written."""
        if isinstance(value, ir.FieldOf):
            last = value.path[-1]
            return last if isinstance(last, str) else path_text(value.path)
        if isinstance(value, ir.MetaOf):
            return value.name
        if isinstance(value, ir.Aggregate):
            return value.function
        if isinstance(value, ir.Extract):
            return value.part
        if isinstance(value, ir.Now):
            return "now"
        if isinstance(value, ir.TextFunction):
            return value.function
        if isinstance(value, ir.Coalesce):
            return "coalesce"
        if isinstance(value, ir.Case):
            return "case"
        return "score" if isinstance(value, ir.Score) else written(self.text, span_of(node))

    def _groups(self, tree: exp.Select) -> tuple[ir.Expression, ...] | None:
        group = tree.args.get("group")
        if group is None:
            return None
        self.only(group, "expressions")
        return tuple(self.expression(node) for node in self.limited(group, group.expressions))

    def _ordered(self, tree: exp.Expr) -> list[exp.Ordered]:
        order = tree.args.get("order")
        if order is None:
            return []
        self.only(order, "expressions")
        for item in order.expressions:
            if not isinstance(item, exp.Ordered):
                raise fail(self.text, item, "this is no way to sort", "ORDER BY a, b DESC")
            self.only(item, "this", "desc", "nulls_first")
            if bool(item.args.get("nulls_first")) == bool(item.args.get("desc")):
                raise fail(self.text, item, "null comes first, or last with DESC", "leave NULLS FIRST or LAST out")
            if isinstance(item.this, exp.Literal) and not item.this.is_string:
                raise fail(self.text, item, "numbers of columns are not understood here", "name the column")
        return list(self.limited(order, order.expressions))

    def _limits(self, tree: exp.Expr) -> tuple[ir.Expression | None, ir.Expression | None]:
        out: list[ir.Expression | None] = []
        for name in ("limit", "offset"):
            node = tree.args.get(name)
            out.append(None if node is None else self.constant(self.single(node, "expression")))
        return out[0], out[1]

    def _condition_of(self, node: exp.Expr, *, legs: Legs = None) -> ir.Condition:
        self.only(node, "this")
        return self.condition(node.this, legs=legs)

    def _alias(self, node: exp.Expr) -> str:
        return str(node.alias or node.name)

    def source(self, node: exp.Expr) -> ir.Source:
        if not isinstance(node, exp.Table):
            raise fail(self.text, node, "this is no collection", "FROM takes the name of a collection")
        self.only(node, "this", "alias")
        alias = node.args.get("alias")
        if alias is not None:
            self.only(alias, "this")
        if not isinstance(node.this, exp.Identifier):
            raise fail(self.text, node, "this is no collection", "FROM takes the name of a collection")
        return ir.Source(node.name, self._alias(node), span_of(node.this))

    def join(self, node: exp.Join, source: ir.Source) -> ir.Join:
        self.only(node, "this", "side", "kind", "on")
        side, kind = str(node.args.get("side") or ""), str(node.args.get("kind") or "")
        if side not in ("", "LEFT") or kind not in ("", "INNER", "OUTER"):
            raise fail(self.text, node, f"{side or kind} JOIN is not supported", "JOIN or LEFT JOIN")
        if node.args.get("on") is None:
            raise fail(self.text, node, "a join needs a condition", "JOIN b ON b.x = a.y")
        conditions = node.args["on"]
        while isinstance(conditions, exp.Paren):
            conditions = conditions.this
        on = []
        for part in conditions.flatten() if isinstance(conditions, exp.And) else [conditions]:
            found = self.condition(part)
            for one in found.items if isinstance(found, ir.All) else (found,):
                if not isinstance(one, ir.Compare) or one.operator != "=":
                    raise fail(self.text, part, "collections are joined on equality", "ON b.x = a.y AND ...")
                on.append(one)
        return ir.Join(source, side == "LEFT", tuple(on))

    def insert(self, tree: exp.Insert) -> ir.Insert:
        self.only(tree, "this", "expression")
        schema, values = tree.this, tree.args.get("expression")
        paths: list[tuple[str | int, ...]] | None = None
        table = schema
        if isinstance(schema, exp.Schema):
            self.only(schema, "this", "expressions")
            table = schema.this
            paths = [self._inserted(node) for node in self.limited(schema, schema.expressions)]
            for place, path in enumerate(paths):
                if path in paths[:place]:
                    raise fail(self.text, schema.expressions[place], "this field is named twice", "name it once")
        source = self.source(table)
        if source.alias != source.collection:
            raise fail(self.text, table, "INSERT takes no alias", "INSERT INTO notes (title) VALUES (...)")
        if not isinstance(values, exp.Values):
            raise fail(self.text, values or tree, "VALUES is missing", "INSERT INTO notes (title) VALUES ('...')")
        self.only(values, "expressions")
        self.sources = []
        rows = []
        for row in self.limited(values, values.expressions):
            nodes = (
                row.expressions
                if isinstance(row, exp.Tuple)
                else [row.this if isinstance(row, exp.Paren) else row]
            )
            if paths is None and len(nodes) != 1:
                raise fail(
                    self.text, row, "without names of fields a row is one object", "VALUES ({'title': '...'})"
                )
            if paths is not None and len(nodes) != len(paths):
                raise fail(
                    self.text,
                    row,
                    f"this row has {len(nodes)} values for {len(paths)} fields",
                    "a value for each field",
                )
            rows.append(tuple(self.constant(node) for node in nodes))
        return ir.Insert(source.collection, tuple(paths or [()]), tuple(rows), source.span)

    def _inserted(self, node: exp.Expr) -> tuple[str | int, ...]:
        if not isinstance(node, exp.Identifier):
            raise fail(
                self.text, node, "this is no name of a field", "INSERT INTO notes (title, text) VALUES (...)"
            )
        if node.name in ir.META and node.name not in ("_id", "_expires"):
            raise fail(self.text, node, f"{node.name} is kept by the database itself", "leave it out")
        return (self.key(node),)

    def update(self, tree: exp.Update) -> ir.Update:
        self.only(tree, "this", "expressions", "where")
        source = self.source(tree.this)
        self.sources = [source]
        changes: list[tuple[tuple[str | int, ...], ir.Expression]] = []
        for node in self.limited(tree, tree.expressions):
            if not isinstance(node, exp.EQ):
                raise fail(self.text, node, "this sets nothing", "UPDATE notes SET title = '...'")
            target = self.expression(node.this)
            if not isinstance(target, ir.FieldOf) or (target.path and str(target.path[0]) in ir.META):
                raise fail(self.text, node.this, "this cannot be set", "the path of a field stands left of =")
            for path, _ in changes:
                if path[: len(target.path)] == target.path[: len(path)]:
                    raise fail(self.text, node.this, "this is set twice", "set it once")
            changes.append((target.path, self.expression(node.expression)))
        if not changes:
            raise fail(self.text, tree, "SET is missing", "UPDATE notes SET title = '...'")
        where = None if tree.args.get("where") is None else self._condition_of(tree.args["where"], legs="all")
        self.refuse_aggregates("SET and WHERE of an UPDATE")
        return ir.Update(source, tuple(changes), where)

    def delete(self, tree: exp.Delete) -> ir.Delete:
        self.only(tree, "this", "where")
        source = self.source(tree.this)
        self.sources = [source]
        where = None if tree.args.get("where") is None else self._condition_of(tree.args["where"], legs="all")
        self.refuse_aggregates("WHERE of a DELETE")
        return ir.Delete(source, where)


_BEFORE = re.compile(r"(?:\b(?!(?:SELECT|DISTINCT|ALL)\b)\w+\s*\(|[-(\s])*\Z", re.IGNORECASE)
_AFTER = re.compile(r"(?:\s*[)\]])*")


def written(text: str, span: ir.Span) -> str:
    """An expression as it stands in the text: sqlglot knows where its names and values are, but no brackets."""
    before, after = _BEFORE.search(text, 0, span[0]), _AFTER.match(text, span[1])
    start = span[0] if before is None else before.start()
    end = span[1] if after is None else after.end()
    found = text[start:end].strip()
    while found.endswith(")") and found.count(")") > found.count("("):
        found = found[:-1].rstrip()
    return found if found.count(")") == found.count("(") else "expression"


def _with_distinct_names(columns: list[ir.Column]) -> tuple[ir.Column, ...]:
    """Columns of which no two have the same name: the second `a` is `a_2`."""
    taken: set[str] = set()
    out = []
    for column in columns:
        name, number = column.name, 2
        while name in taken:
            name, number = f"{column.name}_{number}", number + 1
        taken.add(name)
        out.append(ir.Column(name, column.value))
    return tuple(out)
