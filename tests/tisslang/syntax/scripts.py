"""Scripts that several tests read, and ways to break them."""

from __future__ import annotations

GOOD = r"""#TISS! version=1.0 Language=Python
# What a careful engineer would do.
TASK "Create and test a script" {
    @persona "careful_engineer"
    SET_BUDGET EXECUTION_TIME = "5m"
    SET_BUDGET TOKEN_COUNT = 20000

    SETUP "the tools" {
        RUN "python3 -m venv .venv"  # once
        MKDIR "out/pages"
    }

    STEP "Write it" {
        VAR tests = ["one", "two", {name: "three", "deep": [1, 2.5, true, null]}]
        PROMPT_AGENT "Write a function that reverses words. Tests: {{tests}}" INTO code
        WRITE "words.py" <<PY
{{code}}

print("a } in a text {")
PY
        APPEND "notes.txt" "one \"more\"\n"
    }

    STEP "Check it" {
        RUN "python3 -m pytest -q" TIMEOUT "60s"
        ASSERT LAST_RUN.EXIT_CODE == 0 AND NOT LAST_RUN.STDERR CONTAINS "Error", "tests fail"
        ASSERT FILE "words.py" EXISTS
        IF LAST_RUN.EXECUTION_TIME > 30s THEN {
            LOG "slow"
        }
        ELSE IF tests[2].name NOT CONTAINS "x" OR (1 + 2 - 3) == 0 {
            LOG "fast"
        } ELSE {
            LOG "hm"
        }
        FOR test IN tests {
            LOG "{{test.name | upper}}"
        }
        RETRY MAX 3 {
            RUN "make"
            ASSERT LAST_RUN.EXIT_CODE == 0
        } FIX_WITH PROMPT_AGENT "Mend this: {{failure}}" INTO code
    }

    PARALLEL {
        STEP "Left" {
            READ "left.txt" AS left
        }
        STEP "Right" {
            READ "right.txt" AS right
        }
    }

    TRY {
        CHOOSE "Which way?" {
            OPTION "Short" {
                PAUSE "Go on?"
            }
            OPTION "Long" {
                REQUEST_REVIEW code
            }
        }
    } CATCH AS problem {
        LOG problem.message
    } FINALLY {
        DELETE "out/pages"
    }

    STEP "Keep it" {
        VAR note = {title: "Words", text: code}
        INSERT_DOC "notes" FROM_VAR note INTO id
        UPDATE_DOC "notes" DOC_ID id WITH_VAR note
        QUERY_DB "SELECT title FROM notes WHERE _id = :id" WITH {id: id} INTO rows
        DELETE_DOC "notes" DOC_ID id
        ESTIMATE_COST {
            PROMPT_AGENT "As JSON" INTO data AS JSON {type: "object"}
        }
    }
}
"""

BREAKS: tuple[tuple[str, str], ...] = (
    # unterminated
    ('"the tools" {', '"the tools {'),
    ('RUN "python3 -m venv .venv"', 'RUN "python3 -m venv .venv'),
    ('ASSERT FILE "words.py" EXISTS', 'ASSERT FILE "words.py EXISTS'),
    ('PAUSE "Go on?"', 'PAUSE "Go on?'),
    ("\nPY\n", "\n"),
    ("\nPY\n", "\n PY\n"),
    ("{{code}}\n", "{{code\n"),
    ("{{test.name | upper}}", "{{test.name | }}"),
    ("[1, 2.5, true, null]", "[1, 2.5, true, null"),
    ("{id: id} INTO rows", "{id: id INTO rows"),
    ("(1 + 2 - 3)", "(1 + 2 - 3"),
    ('{title: "Words", text: code}', '{title: "Words", text: code'),
    # blocks
    ('        LOG "hm"\n        }\n', '        LOG "hm"\n'),
    ('            LOG "slow"\n        }\n', '            LOG "slow"\n'),
    ('        MKDIR "out/pages"\n    }\n', '        MKDIR "out/pages"\n'),
    ('            READ "left.txt" AS left\n        }\n', '            READ "left.txt" AS left\n'),
    ("        LOG problem.message\n    }", "        LOG problem.message\n   "),
    ('STEP "Check it" {', 'STEP "Check it"'),
    ("PARALLEL {", "PARALLEL"),
    ("        RETRY MAX 3 {", "        RETRY MAX 3"),
    ('    STEP "Keep it" {', '    }\n    STEP "Keep it" {'),
    ('        INSERT_DOC "notes"', '        }\n        INSERT_DOC "notes"'),
    ("}\n    }\n}\n", "}\n    }\n"),
    # missing parts
    ('READ "right.txt" AS right', 'READ "right.txt"'),
    ("FOR test IN tests {", "FOR IN tests {"),
    ("FOR test IN tests {", "FOR test tests {"),
    ("SET_BUDGET TOKEN_COUNT = 20000", "SET_BUDGET TOKEN_COUNT 20000"),
    ('STEP "Write it" {', "STEP {"),
    ("RETRY MAX 3 {", "RETRY 3 {"),
    ("IF LAST_RUN.EXECUTION_TIME > 30s THEN {", "IF LAST_RUN.EXECUTION_TIME > THEN {"),
    ("IF LAST_RUN.EXECUTION_TIME > 30s THEN {", "IF {"),
    ("ASSERT LAST_RUN.EXIT_CODE == 0 AND NOT", "ASSERT LAST_RUN.EXIT_CODE == AND NOT"),
    ("VAR tests = [", "VAR = ["),
    ("CATCH AS problem {", "CATCH AS {"),
    # misspelled
    ('RUN "python3 -m pytest -q"', 'RUNN "python3 -m pytest -q"'),
    ('STEP "Check it" {', 'STPE "Check it" {'),
    ('STEP "Check it" {', 'step "Check it" {'),
    ("PARALLEL {", "PARALEL {"),
    ("} FINALLY {", "} FINALY {"),
    ("        } ELSE {", "        } ELES {"),
    ("AND NOT LAST_RUN", "and not LAST_RUN"),
    ("LAST_RUN.EXIT_CODE == 0 AND", "LAST_RUN.EXIT_CODE = 0 AND"),
    # structure
    ('        MKDIR "out/pages"\n', '        MKDIR "out/pages" MKDIR "more"\n'),
    ('        MKDIR "out/pages"\n', '        STEP "nested" {\n            MKDIR "out/pages"\n        }\n'),
    ('    STEP "Write it" {', '    OPTION "Write it" {'),
    ('        RUN "make"\n', '        RUN "make"\n        ???\n'),
    ('        RUN "make"\n', '        RUN "make"\n        some words that mean nothing\n'),
    ("# What a careful engineer would do.", "What a careful engineer would do."),
)
"""Places of the good script, and what is written there instead."""
