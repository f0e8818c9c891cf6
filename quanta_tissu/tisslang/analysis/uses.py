"""What an expression uses: variables, the last command, files; and where its text may have come from."""

from __future__ import annotations

from quanta_tissu.tisslang.analysis.report import Report
from quanta_tissu.tisslang.analysis.state import Known, Origin, State
from quanta_tissu.tisslang.diagnostics.diagnostic import Label
from quanta_tissu.tisslang.source import Span
from quanta_tissu.tisslang.syntax.expressions import (
    Binary,
    Duration,
    Expression,
    File,
    Member,
    Not,
    Test,
    Text,
    Variable,
    children,
)
from quanta_tissu.tisslang.syntax.times import parse_time
from quanta_tissu.tisslang.syntax.words import FILTERS, LAST_RUN


def check_uses(expression: Expression, state: State, report: Report) -> frozenset[Origin]:
    """Check what an expression uses.

    Args:
        expression: It.
        state: What is known where it stands.
        report: Gets what is wrong.

    Returns:
        Where text of its value may have come from.
    """
    if isinstance(expression, Member) and _is_last_run(expression.base):
        _check_last_run(expression, state, report)
        return frozenset({Origin("a command", state.run or expression.span)})
    match expression:
        case Variable(name="LAST_RUN", span=span):
            report.say(
                "E112", "LAST_RUN is no value", span, help=f"take a part of it: {', '.join(sorted(LAST_RUN))}"
            )
            return frozenset()
        case Variable(name="COST"):
            return frozenset()
        case Variable(name=name, span=span):
            return _check_variable(name, span, state, report)
        case Text():
            for hole in expression.holes:
                for one in hole.filters:
                    if one.name not in FILTERS:
                        report.unknown("E113", "the filter", one.name, one.span, FILTERS)
    origins: frozenset[Origin] = frozenset()
    for child in children(expression):
        origins |= check_uses(child, state, report)
    if isinstance(expression, File):
        return frozenset({Origin("a file", expression.span)})
    if isinstance(expression, Not | Test) or (
        isinstance(expression, Binary) and expression.operator not in ("+", "-")
    ):
        return frozenset()  # a truth value carries no text
    return origins


def _is_last_run(expression: Expression) -> bool:
    return isinstance(expression, Variable) and expression.name == "LAST_RUN"


def _check_last_run(expression: Member, state: State, report: Report) -> None:
    if expression.name not in LAST_RUN:
        at = Span(expression.span.end - len(expression.name), expression.span.end)
        report.unknown("E112", "the part of LAST_RUN", expression.name, at, LAST_RUN)
    if state.ran is Known.NEVER:
        report.say(
            "E103",
            "no command has run before",
            expression.span,
            label="LAST_RUN is what came of the last RUN",
            help="RUN a command first",
        )
    elif state.ran is Known.SOMETIMES:
        report.say(
            "W104",
            "a command has not run on every way to here",
            expression.span,
            help="RUN a command on every way, or check this where it runs",
        )


def _check_variable(name: str, span: Span, state: State, report: Report) -> frozenset[Origin]:
    binding = state.variables.get(name)
    if binding is None:
        report.unknown("E101", "the variable", name, span, state.variables)
        return frozenset()
    if binding.known is Known.SOMETIMES:
        report.say(
            "W102",
            f"the variable `{name}` has no value on some ways to here",
            span,
            others=[Label(binding.span, "it gets one here")],
            help=f"give `{name}` a value before, which the others replace",
        )
    return binding.origins


def seconds(expression: Expression) -> float | None:
    """What a time says, if it is written out; None if nobody knows yet.

    Raises:
        ValueError: It is no time.
    """
    match expression:
        case Duration(seconds=value):
            return value
        case Text(plain=str(text)):
            return parse_time(text)
        case _:
            return None
