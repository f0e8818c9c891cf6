"""Every mistake that TissLang knows, by its code: `tissu lang explain E010` says it at length.

A code never changes its meaning. A test holds each entry to what it says: its wrong example gives this code, its
right one nothing at all.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mistake:
    """A kind of mistake.

    Attributes:
        code: Its code.
        title: What it is, in a few words.
        why: What it means and what to do, in a paragraph.
        wrong: A script with it.
        right: The same, mended.
    """

    code: str
    title: str
    why: str
    wrong: str
    right: str


MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        "E001",
        "a character that is no part of the language",
        "Outside of strings, heredocs and comments only words, numbers and the language's symbols mean something. "
        "Text belongs in quotes.",
        "LOG $name",
        'VAR name = "Ada"\nLOG name',
    ),
    Mistake(
        "E002",
        "a string that is never closed",
        "A string ends on the line on which it begins. Text of several lines is a heredoc.",
        'LOG "hello',
        'LOG "hello"',
    ),
    Mistake(
        "E003",
        "a heredoc that is never closed",
        "A heredoc `<<TAG` ends at the first line that is exactly `TAG`: no blanks before or behind it. "
        "`<<-TAG` may "
        "be indented, end included, and loses the indent that all its lines share. `TAG>>` ends it, too.",
        'WRITE "a.txt" <<TEXT\nhello\n  TEXT',
        'WRITE "a.txt" <<TEXT\nhello\nTEXT',
    ),
    Mistake(
        "E004",
        "an escape that there is not",
        "After a backslash in a string comes `n`, `t`, `r`, `0`, a backslash, a quote, a brace, or `u{...}` "
        "with the "
        "number of a character. A backslash itself is written twice. In heredocs a backslash is a backslash.",
        r'LOG "a\d"',
        r'LOG "a\\d"',
    ),
    Mistake(
        "E005",
        "a hole that names no value",
        "`{{...}}` in a text is a hole, which is filled when the text is used: `{{name}}`, `{{name.field[0]}}`, "
        "`{{name | filter}}`. Anything longer is computed before, by VAR. Braces that are meant as they are are "
        "doubled (`{{{{`), or stand in a heredoc whose tag is quoted: `<<'TAG'`.",
        'VAR n = 1\nLOG "{{n + 1}}"',
        'VAR n = 1\nVAR next = n + 1\nLOG "{{next}}"',
    ),
    Mistake(
        "E006",
        "a block that is never closed",
        "Every `{` of a block needs its `}`. Where one is missing, indentation shows which block was meant "
        "to end; "
        "the place is marked.",
        'STEP "One" {\n    LOG "one"\nSTEP "Two" {\n    LOG "two"\n}',
        'STEP "One" {\n    LOG "one"\n}\nSTEP "Two" {\n    LOG "two"\n}',
    ),
    Mistake(
        "E007",
        "a brace that closes nothing",
        "There are more `}` than `{` before it.",
        'LOG "hello"\n}',
        'LOG "hello"',
    ),
    Mistake(
        "E008",
        "something is missing",
        "The command needs another part here. `tissu lang explain COMMAND` shows how it is written.",
        'READ "notes.txt" INTO notes',
        'READ "notes.txt" AS notes',
    ),
    Mistake(
        "E009",
        "no command of the language",
        "A statement starts with a command, in capitals. If one of a similar name is known, it is proposed.",
        'RUNN "ls"',
        'RUN "ls"',
    ),
    Mistake(
        "E010",
        "a STEP inside a STEP",
        "Steps are the parts of a task that reports show and that resuming starts from, so they follow each "
        "other. "
        "Steps that belong together are taken out (DEFINE_TASK), run side by side (PARALLEL), or chosen from "
        "(CHOOSE).",
        'STEP "Outer" {\n    STEP "Inner" {\n        LOG "hello"\n    }\n}',
        'STEP "Outer" {\n    LOG "before"\n}\nSTEP "Inner" {\n    LOG "hello"\n}',
    ),
    Mistake(
        "E011",
        "a command that cannot stand there",
        "Each command says in which blocks it may stand: OPTION only in CHOOSE, nothing but STEP directly in "
        "PARALLEL, "
        "TASK, IMPORT and DEFINE_TASK only outside of blocks.",
        'OPTION "One" {\n    LOG "one"\n}',
        'CHOOSE {\n    OPTION "One" {\n        LOG "one"\n    }\n}',
    ),
    Mistake(
        "E012",
        "more than belongs to a command",
        "A statement ends with its line. Two statements stand on two lines.",
        'LOG "one" LOG "two"',
        'LOG "one"\nLOG "two"',
    ),
    Mistake(
        "E013",
        "comparisons in a chain",
        "`a < b < c` would compare a truth value with `c`. Join two comparisons.",
        "VAR n = 2\nASSERT 1 < n < 3",
        "VAR n = 2\nASSERT 1 < n AND n < 3",
    ),
    Mistake(
        "E014",
        "an operator of another language",
        "Equality is `==`, and the words among the operators are written in capitals: AND, OR, NOT, "
        "CONTAINS, MATCHES.",
        "VAR n = 2\nASSERT n = 2",
        "VAR n = 2\nASSERT n == 2",
    ),
    Mistake(
        "E019",
        "too deep",
        "Blocks and expressions stand in each other a hundred deep at most, which nobody can read anyway. "
        "Take parts "
        "out: VAR for values, DEFINE_TASK for statements.",
        "VAR n = " + "(" * 120 + "1" + ")" * 120,
        "VAR n = 1",
    ),
    Mistake(
        "E020",
        "a word of the language as a name",
        "Commands, operators, `true`, `false`, `null`, `LAST_RUN` and `COST` cannot be names of variables.",
        "VAR COST = 2",
        "VAR cost = 2",
    ),
    Mistake(
        "E021",
        "a header that is not at the top",
        "`#TISS! version=1.0` says for which version of the language all of the script was written, so it "
        "comes first.",
        'LOG "hello"\n#TISS! version=1.0',
        '#TISS! version=1.0\nLOG "hello"',
    ),
    Mistake(
        "E022",
        "a part of a command without the command",
        "ELSE follows directly on the block of an IF, CATCH and FINALLY on that of a TRY, FIX_WITH on that of a "
        "RETRY.",
        'LOG "before"\nELSE {\n    LOG "otherwise"\n}',
        'IF 1 == 2 {\n    LOG "never"\n}\nELSE {\n    LOG "otherwise"\n}',
    ),
)

BY_CODE = {mistake.code: mistake for mistake in MISTAKES}
