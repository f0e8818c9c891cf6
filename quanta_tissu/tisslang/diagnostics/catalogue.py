"""Every mistake that TissLang knows, by its code: `tissu lang explain E010` says it at length.

A code never changes its meaning. A test holds each entry to what it says: its wrong example gives this code, its
right one nothing at all. E are errors and W warnings, which are found before anything runs; R are failures of
runs, which TRY and RETRY catch.
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
        when: Of a failure of a run: what happens in it, as far as the script does not say it.
    """

    code: str
    title: str
    why: str
    wrong: str
    right: str
    when: str = ""


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
        'IF 1 == 2 {\n    LOG "never"\n} ELSE {\n    LOG "otherwise"\n}',
    ),
    Mistake(
        "E101",
        "a variable that was never set",
        "VAR, READ ... AS, PROMPT_AGENT ... INTO, QUERY_DB ... INTO and others set variables; before, they "
        "have no value. "
        "A DEFINE_TASK sees nothing but its parameters.",
        'VAR greeting = "hello"\nLOG greting',
        'VAR greeting = "hello"\nLOG greeting',
    ),
    Mistake(
        "W102",
        "a variable that is set on some ways only",
        "Where ways come together, after IF, CHOOSE, FOR, TRY or in a second attempt, a variable has a value "
        "for certain only if "
        "every way sets it.",
        'VAR n = 3\nIF n > 2 {\n    VAR size = "large"\n}\nLOG size',
        'VAR n = 3\nVAR size = "small"\nIF n > 2 {\n    VAR size = "large"\n}\nLOG size',
    ),
    Mistake(
        "E103",
        "LAST_RUN before any RUN",
        "LAST_RUN is what came of the command that ran last. In a DEFINE_TASK that is a command of its own.",
        "ASSERT LAST_RUN.EXIT_CODE == 0",
        'RUN "true"\nASSERT LAST_RUN.EXIT_CODE == 0',
    ),
    Mistake(
        "W104",
        "LAST_RUN where a command may not have run",
        "On some ways to this point no command has run, and there the script would fail.",
        'VAR n = 3\nIF n > 2 {\n    RUN "true"\n}\nASSERT LAST_RUN.EXIT_CODE == 0',
        'VAR n = 3\nIF n > 2 {\n    RUN "true"\n    ASSERT LAST_RUN.EXIT_CODE == 0\n}',
    ),
    Mistake(
        "E105",
        "branches of PARALLEL that write the same",
        "Branches run at the same time, so nobody could say which of two values stays.",
        'PARALLEL {\n    STEP "a" {\n        VAR x = 1\n    }\n    STEP "b" {\n        VAR x = 2\n    }\n}',
        'PARALLEL {\n    STEP "a" {\n        VAR x = 1\n    }\n    STEP "b" {\n        VAR y = 2\n    }\n}',
    ),
    Mistake(
        "W106",
        "a directive that is unknown",
        "It is passed over. The known ones are listed with it.",
        '@persone "careful"',
        '@persona "careful"',
    ),
    Mistake(
        "E107",
        "a budget that is unknown",
        "EXECUTION_TIME, API_CALLS, TOKEN_COUNT and COST can be limited.",
        "SET_BUDGET TOKENS = 100",
        "SET_BUDGET TOKEN_COUNT = 100",
    ),
    Mistake(
        "W108",
        "statements that are never reached",
        "A condition is written out, so that what it guards is done always or never.",
        'IF false {\n    LOG "never"\n}',
        'VAR wanted = false\nIF wanted {\n    LOG "perhaps"\n}',
    ),
    Mistake(
        "E109",
        "a task that is not defined",
        "CALL names a DEFINE_TASK of this script or of one that it imports.",
        'CALL "greet"',
        'DEFINE_TASK "greet" {\n    LOG "hello"\n}\nCALL "greet"',
    ),
    Mistake(
        "E110",
        "two tasks of one name",
        "A name stands for one DEFINE_TASK.",
        'DEFINE_TASK "a" {\n}\nDEFINE_TASK "a" {\n}',
        'DEFINE_TASK "a" {\n}\nDEFINE_TASK "b" {\n}',
    ),
    Mistake(
        "E111",
        "a wrong number of arguments",
        "CALL gives a value for each parameter of the DEFINE_TASK.",
        'DEFINE_TASK "greet"(name) {\n    LOG name\n}\nCALL "greet"',
        'DEFINE_TASK "greet"(name) {\n    LOG name\n}\nCALL "greet"("Ada")',
    ),
    Mistake(
        "E112",
        "a part that LAST_RUN has not",
        "LAST_RUN has STDOUT, STDERR, EXIT_CODE and EXECUTION_TIME; by itself it is no value.",
        'RUN "true"\nLOG LAST_RUN.OUTPUT',
        'RUN "true"\nLOG LAST_RUN.STDOUT',
    ),
    Mistake(
        "E113",
        "a filter that is unknown",
        "After `|` in a hole comes a filter: upper, lower, trim, json, lines, length, sh, data, raw.",
        'VAR n = "a"\nLOG "{{n | uper}}"',
        'VAR n = "a"\nLOG "{{n | upper}}"',
    ),
    Mistake(
        "E114",
        "a script that cannot be imported",
        "IMPORT names a script by its path, seen from the folder of the script that imports it. It must "
        "be readable "
        "and without errors.",
        'IMPORT "there/is/none.tiss"',
        'LOG "nothing is imported"',
    ),
    Mistake(
        "E115",
        "a later version of the language",
        "The header says which version the script needs.",
        "#TISS! version=99.0\nLOG 1",
        "#TISS! version=1.0\nLOG 1",
    ),
    Mistake(
        "E116",
        "a directive with a wrong value",
        "Some directives take one of a few words, some a number, all of them something.",
        "@sandbox paper",
        "@sandbox bwrap",
    ),
    Mistake(
        "E117",
        "a time that is none",
        'Times have units: `500ms`, `30s`, `5m`, `1.5h`, `2d`, with or without quotes, also together: `"1h 30m"`.',
        'RUN "true" TIMEOUT "soon"',
        'RUN "true" TIMEOUT "30s"',
    ),
    Mistake(
        "E118",
        "a number that counts nothing",
        "Attempts and budgets are numbers above 0; all but COST are whole.",
        'RETRY MAX 0 {\n    RUN "true"\n}',
        'RETRY MAX 3 {\n    RUN "true"\n}',
    ),
    Mistake(
        "E119",
        "two tasks in a script",
        "A script is one TASK. Parts of it are STEPs; what is done more than once is a DEFINE_TASK.",
        'TASK "a" {\n}\nTASK "b" {\n}',
        'TASK "a" {\n}',
    ),
    Mistake(
        "W130",
        "text that nobody has looked at in a command of the shell",
        "What a model, a file, a command or the database said may hold anything, also `; rm -rf`. In RUN a "
        "hole is an argument, "
        "whatever is in it; `| raw` and a command that is a variable are not, and are asked about when they run.",
        'READ "list.txt" AS list\nRUN "ls {{list | raw}}"',
        'READ "list.txt" AS list\nRUN "ls {{list}}"',
    ),
    Mistake(
        "W131",
        "text that nobody has looked at as a path",
        "The sandbox keeps paths inside the project, but any file of it could be meant.",
        'PROMPT_AGENT "Name a file." INTO name\nDELETE "{{name}}"',
        'PROMPT_AGENT "What shall be written?" INTO text\nWRITE "answer.txt" text',
    ),
    Mistake(
        "W132",
        "text that nobody has looked at in a query",
        "A query is written out; what varies in it is a parameter: `:name`, with WITH.",
        'READ "who.txt" AS who\nQUERY_DB "SELECT * FROM people WHERE name = \'{{who}}\'" INTO rows',
        'READ "who.txt" AS who\nQUERY_DB "SELECT * FROM people WHERE name = :who" WITH {who: who} INTO rows',
    ),
    Mistake(
        "R201",
        "a value that does not fit",
        "Conditions are true or false, FOR takes a list or a text, documents are objects, items and "
        "fields must be there: nothing is guessed. The message shows the value. `EXISTS` asks whether "
        "there is one.",
        'VAR user = {name: "Ada"}\nLOG user.age',
        'VAR user = {name: "Ada"}\nIF user.age EXISTS {\n    LOG user.age\n}',
    ),
    Mistake(
        "R202",
        "an assertion that does not hold",
        "The part of the condition that does not hold is underlined, with the values in it, and the "
        "command that made them. What the script can mend itself stands in RETRY.",
        'RUN "make"\nASSERT LAST_RUN.EXIT_CODE == 0',
        'RUN "make"\nIF LAST_RUN.EXIT_CODE != 0 {\n    LOG "there is nothing to make"\n}',
        "`make` ends with 2.",
    ),
    Mistake(
        "R203",
        "a file that cannot be read or written",
        "It is not there, is something else than a file, or cannot be touched: paths stay inside the "
        "project, follow no links out of it, and `.tissu` and the hooks of git are out of bounds.",
        'READ "notes.txt" AS notes',
        'VAR notes = ""\nIF FILE "notes.txt" EXISTS {\n    READ "notes.txt" AS notes\n}',
        "There is no `notes.txt`.",
    ),
    Mistake(
        "R204",
        "an effect that was refused",
        "A rule of the project forbids it (`.tissu/rules.toml`), or a person who was asked did not allow"
        " it. Asked is about text that becomes text of the shell, commands without a sandbox, and the "
        "network.",
        'VAR flags = "-l"\nRUN "ls {{flags | raw}}"',
        'VAR flags = "-l"\nRUN "ls {{flags}}"',
        "Whoever is asked does not allow it.",
    ),
    Mistake(
        "R205",
        "a budget that is used up",
        "What SET_BUDGET allows would be passed: an answer is reckoned with before it is asked for, by "
        "its prompt and `@max_tokens`. Time counts what effects take; waiting for people does not count.",
        'SET_BUDGET API_CALLS = 1\nPROMPT_AGENT "a colour" INTO colour\nPROMPT_AGENT "another" INTO other',
        'SET_BUDGET API_CALLS = 2\nPROMPT_AGENT "a colour" INTO colour\nPROMPT_AGENT "another" INTO other',
        "Models answer.",
    ),
    Mistake(
        "R206",
        "a model that cannot be asked",
        "It is not there, does not answer, or cannot express what is asked of it. `tissu run --model` "
        "says which model is asked.",
        'PROMPT_AGENT "Name a colour." INTO colour',
        'VAR colour = "red"\n'
        "TRY {\n"
        '    PROMPT_AGENT "Name a colour." INTO colour\n'
        "} CATCH AS problem {\n"
        "    LOG problem.message\n"
        "}",
        "The model's server does not answer.",
    ),
    Mistake(
        "R207",
        "an answer that does not fit its schema",
        "The model was shown what was wrong with its answers, and has still given none that fits. Ask "
        "for less at once, or for text.",
        'PROMPT_AGENT "How old is Ada?" INTO age AS JSON {type: "integer"}',
        'PROMPT_AGENT "How old is Ada?" INTO age',
        "The model answers `not sure` each time.",
    ),
    Mistake(
        "R208",
        "a person who said no",
        "PAUSE was ended, or what REQUEST_REVIEW showed was not approved; the comment stands in the "
        "message and in `problem.comment`.",
        'VAR draft = "Dear all"\nREQUEST_REVIEW draft',
        'VAR draft = "Dear all"\n'
        "TRY {\n"
        "    REQUEST_REVIEW draft\n"
        "} CATCH AS problem {\n"
        "    LOG problem.comment\n"
        "}",
        "Whoever is asked rejects it.",
    ),
    Mistake(
        "R209",
        "a database that refuses",
        "The query is none, changes something (QUERY_DB only reads), or a document is not there or not "
        "what its collection takes.",
        'QUERY_DB "SELEKT title FROM notes" INTO rows',
        'QUERY_DB "SELECT title FROM notes" INTO rows',
    ),
    Mistake(
        "R210",
        "tasks that call each other too deeply",
        "Forty calls in each other, or two hundred blocks over all of them, are the end. What is done "
        "for each item of something is a FOR.",
        'DEFINE_TASK "again"(n) {\n    CALL "again"(n + 1)\n}\nCALL "again"(0)',
        'DEFINE_TASK "once"(n) {\n    LOG n\n}\nFOR n IN [0, 1, 2] {\n    CALL "once"(n)\n}',
    ),
    Mistake(
        "R211",
        "an effect that was given up",
        "Another branch of its PARALLEL has failed, and ends the others: the failure that is told is that of the "
        "other. `@on_error collect` lets all of them come to their ends.",
        'PARALLEL {\n    STEP "Left" {\n        RUN "sleep 60"\n    }\n'
        '    STEP "Right" {\n        ASSERT 1 == 2\n    }\n}',
        'PARALLEL {\n    STEP "Left" {\n        RUN "sleep 1"\n    }\n'
        '    STEP "Right" {\n        ASSERT 1 == 1\n    }\n}',
    ),
    Mistake(
        "R212",
        "a command that takes too long",
        "It ran longer than its TIMEOUT, and was ended with all that it had started.",
        'RUN "make" TIMEOUT "10s"',
        'RUN "make" TIMEOUT "10m"',
        "`make` takes a minute.",
    ),
    Mistake(
        "R213",
        "a copy that cannot be taken over",
        "The step worked on a copy of the project (`@sandbox txn`), and the project was changed "
        "meanwhile, or the copy has what no project may get: links out of it, devices. Nothing of the "
        "copy was taken over.",
        'STEP "Build" {\n    @sandbox txn\n    WRITE "page.html" "<p>"\n}',
        'STEP "Build" {\n    WRITE "page.html" "<p>"\n}',
        "Somebody changes `page.html` meanwhile.",
    ),
    Mistake(
        "R214",
        "a command with too much to read or to say",
        "What a hole holds is too long for an argument, or the command wrote more than is kept. Large "
        "texts go through files.",
        'READ "book.txt" AS book\nRUN "wc -w {{book}}"',
        'RUN "wc -w book.txt"',
        "`book.txt` has a million words.",
    ),
)

BY_CODE = {mistake.code: mistake for mistake in MISTAKES}
