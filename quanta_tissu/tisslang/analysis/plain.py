"""Checks of what is written out: the header, directives, budgets, times and numbers."""

from __future__ import annotations

from quanta_tissu.tisslang.analysis.report import Report
from quanta_tissu.tisslang.analysis.uses import seconds
from quanta_tissu.tisslang.diagnostics.diagnostic import Label
from quanta_tissu.tisslang.syntax import statements as ast
from quanta_tissu.tisslang.syntax.expressions import Constant, Duration, Expression, Negative, Text
from quanta_tissu.tisslang.syntax.tree import Script
from quanta_tissu.tisslang.syntax.words import BUDGETS, DIRECTIVES, VERSION


def check_settings(script: Script, report: Report) -> None:
    """Check all that needs no knowledge of what is before it."""
    _check_version(script, report)
    for node in script.tree.walk():
        match node.statement:
            case ast.Directive() as directive:
                _check_directive(directive, report)
            case ast.SetBudget() as budget:
                _check_budget(budget, report)
            case ast.Run(timeout=timeout) if timeout is not None:
                _check_time(timeout, report)
            case ast.Retry(times=times):
                _check_count(times, "the number of attempts", report)
            case _:
                pass
    _check_tasks(script, report)


def _check_version(script: Script, report: Report) -> None:
    for setting in script.header:
        if setting.name == "version" and _numbers(setting.value) > _numbers(VERSION):
            report.say(
                "E115",
                f"the script is written for version {setting.value} of the language",
                setting.span,
                help=f"this is version {VERSION}: install a later one",
            )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _check_directive(directive: ast.Directive, report: Report) -> None:
    known = DIRECTIVES.get(directive.name.text)
    if known is None:
        report.unknown("W106", "the directive", directive.name.text, directive.name.span, DIRECTIVES)
        return
    value = directive.value
    if value is None:
        report.say("E116", f"`@{known.name}` needs a value", directive.span, help=f"it says: {known.summary}")
        return
    if known.values is None:
        return
    written = value.text if isinstance(value, ast.Name) else value.plain if isinstance(value, Text) else None
    if known.values and written not in known.values:
        report.say("E116", f"`@{known.name}` takes {' or '.join(known.values)}", value.span, help=known.summary)
    if not known.values and not isinstance(value, Constant):
        report.say("E116", f"`@{known.name}` takes a number", value.span, help=known.summary)


def _check_budget(budget: ast.SetBudget, report: Report) -> None:
    name = budget.name.text
    if name not in BUDGETS:
        report.unknown("E107", "the budget", name, budget.name.span, BUDGETS)
    elif name == "EXECUTION_TIME":
        _check_time(budget.limit, report)
    else:
        _check_count(budget.limit, f"the budget of {name}", report, whole=name != "COST")


def _check_time(limit: Expression, report: Report) -> None:
    try:
        if seconds(limit) == 0:
            report.say("E117", "a time of nothing", limit.span, help='such as "30s", "5m", "1.5h"')
    except ValueError as error:
        report.say("E117", str(error), limit.span, help='such as "30s", "5m", "1.5h"')
    if isinstance(limit, Constant | Negative):
        report.say("E117", "a time needs its unit", limit.span, help='such as "30s", "5m", "1.5h"')


def _check_count(limit: Expression, what: str, report: Report, *, whole: bool = True) -> None:
    wrong = isinstance(limit, Negative | Duration) or (isinstance(limit, Text) and limit.plain is not None)
    if isinstance(limit, Constant):
        number = limit.value
        wrong = isinstance(number, bool) or number is None or number <= 0 or (whole and number != int(number))
    if wrong:
        kind = "a whole number above 0" if whole else "a number above 0"
        report.say("E118", f"{what} is {kind}", limit.span, help="such as 3")


def _check_tasks(script: Script, report: Report) -> None:
    tasks = [one for one in script.statements if isinstance(one, ast.Task)]
    for one in tasks[1:]:
        report.say(
            "E119",
            "a script has one TASK",
            one.keyword,
            others=[Label(tasks[0].keyword, "the first one")],
            help="put the second into a script of its own, or make its parts STEPs of the first",
        )
