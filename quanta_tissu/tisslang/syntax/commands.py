"""The table of all commands: the parser, help, completion, documents and grammars are made from it."""

from __future__ import annotations

from quanta_tissu.tisslang.syntax import statements as ast
from quanta_tissu.tisslang.syntax.shapes import (
    Block,
    Command,
    EffectClass,
    Inside,
    Many,
    Maybe,
    NameOf,
    Names,
    Sign,
    Title,
    Value,
    Values,
    Word,
)
from quanta_tissu.tisslang.syntax.words import BUDGETS, PROVIDED

_FILE = frozenset({Inside.FILE})
_TASK = frozenset({Inside.FILE, Inside.STEPS})
_ANY = frozenset({Inside.FILE, Inside.STEPS, Inside.COMMANDS})

COMMANDS: tuple[Command, ...] = (
    # --- blocks --------------------------------------------------------------------------------------------------
    Command(
        "TASK",
        ast.Task,
        (Title("title", "the task's title"), Maybe((Block("body", Inside.STEPS),))),
        "The whole of what is to be done: a block, or a line that the steps follow.",
        _FILE,
        'TASK "Say hello" {\n    STEP "Say it" {\n        LOG "hello"\n    }\n}',
    ),
    Command(
        "SETUP",
        ast.Setup,
        (Maybe((Title("title", "what is set up"),)), Block("body", Inside.COMMANDS)),
        "What is done before the steps.",
        _TASK,
        'SETUP {\n    MKDIR "out"\n}',
    ),
    Command(
        "STEP",
        ast.Step,
        (Title("title", "the step's title"), Block("body", Inside.COMMANDS)),
        "A part of a task, with a name that reports and resuming use.",
        _TASK | {Inside.PARALLEL, Inside.CHOOSE},
        'STEP "Write it" {\n    WRITE "note.txt" "done"\n}',
    ),
    Command(
        "PARALLEL",
        ast.Parallel,
        (Block("body", Inside.PARALLEL),),
        "Steps that run at the same time; what they set is joined in the order in which they are written.",
        _ANY,
        'PARALLEL {\n    STEP "One" {\n        VAR a = 1\n    }\n    STEP "Two" {\n        VAR b = 2\n    }\n}',
    ),
    Command(
        "CHOOSE",
        ast.Choose,
        (Maybe((Value("question", "the question"),)), Block("body", Inside.CHOOSE)),
        "One of several options, which a person chooses.",
        _ANY,
        'CHOOSE "Which way?" {\n    OPTION "Short" {\n        LOG "short"\n    }\n'
        '    OPTION "Long" {\n        LOG "long"\n    }\n}',
        EffectClass.HUMAN,
    ),
    Command(
        "OPTION",
        ast.Option,
        (Title("title", "the option's title"), Block("body", Inside.COMMANDS)),
        "One way of a CHOOSE.",
        frozenset({Inside.CHOOSE}),
        'CHOOSE {\n    OPTION "The only one" {\n        LOG "chosen"\n    }\n}',
    ),
    Command(
        "IF",
        ast.If,
        (
            Value("condition", "a condition"),
            Maybe((Word("THEN"),)),
            Block("body"),
            Many(
                "branches",
                ast.Branch,
                (
                    Word("ELSE", next_line=True),
                    Word("IF"),
                    Value("condition", "a condition"),
                    Maybe((Word("THEN"),)),
                    Block("body"),
                ),
            ),
            Maybe((Word("ELSE", next_line=True), Block("otherwise"))),
        ),
        "What is done only if a condition holds.",
        _ANY,
        'VAR n = 3\nIF n > 2 {\n    LOG "many"\n} ELSE {\n    LOG "few"\n}',
    ),
    Command(
        "FOR",
        ast.For,
        (NameOf("name", "a variable", defines=True), Word("IN"), Value("items", "a list"), Block("body")),
        "The same for each item of a list.",
        _ANY,
        'FOR name IN ["a", "b"] {\n    LOG "{{name}}"\n}',
    ),
    Command(
        "TRY",
        ast.Try,
        (
            Block("body"),
            Maybe(
                (
                    Word("CATCH", next_line=True),
                    Maybe((Word("AS"), NameOf("error", "a variable", defines=True))),
                    Block("catch"),
                )
            ),
            Maybe((Word("FINALLY", next_line=True), Block("always"))),
        ),
        "What may fail, what is done then, and what is done in any case.",
        _ANY,
        'TRY {\n    ASSERT 1 == 2\n} CATCH AS problem {\n    LOG problem.message\n} FINALLY {\n    LOG "over"\n}',
    ),
    Command(
        "RETRY",
        ast.Retry,
        (
            Word("MAX"),
            Value("times", "a number of attempts"),
            Block("body"),
            Maybe(
                (
                    Word("FIX_WITH", next_line=True),
                    Word("PROMPT_AGENT"),
                    Value("prompt", "a prompt", long=True),
                    Maybe((Word("INTO"), NameOf("into", "a variable", defines=True))),
                )
            ),
        ),
        "What is done again when it fails, at most so many times; between attempts a model may be asked for a "
        "correction. It stops when the same failure comes back.",
        _ANY,
        'RETRY MAX 2 {\n    RUN "true"\n    ASSERT LAST_RUN.EXIT_CODE == 0\n}',
    ),
    Command(
        "DEFINE_TASK",
        ast.DefineTask,
        (Title("title", "a name"), Names("parameters", "a parameter"), Block("body", Inside.STEPS)),
        "What CALL does, with parameters.",
        _FILE,
        'DEFINE_TASK "greet"(name) {\n    LOG "hello, {{name}}"\n}\nCALL "greet"("Ada")',
    ),
    Command(
        "ESTIMATE_COST",
        ast.EstimateCost,
        (Block("body"),),
        "Says what its block would cost at most, before it is done.",
        _ANY,
        'ESTIMATE_COST {\n    PROMPT_AGENT "Write a haiku." INTO haiku\n}',
    ),
    # --- commands ------------------------------------------------------------------------------------------------
    Command(
        "CALL",
        ast.Call,
        (Title("title", "the name of a DEFINE_TASK"), Values("arguments", "an argument")),
        "Does what a DEFINE_TASK says.",
        _ANY,
        'DEFINE_TASK "greet"(name) {\n    LOG "hello, {{name}}"\n}\nCALL "greet"("Ada")',
    ),
    Command(
        "IMPORT",
        ast.Import,
        (Title("path", "the path of a script"),),
        "Makes the DEFINE_TASKs of another script known.",
        _FILE,
        'IMPORT "library.tiss"',
        EffectClass.READ,
    ),
    Command(
        "READ",
        ast.Read,
        (Value("path", "a path"), Word("AS"), NameOf("into", "a variable", defines=True)),
        "The text of a file, as a variable.",
        _ANY,
        'WRITE "note.txt" "hello"\nREAD "note.txt" AS note\nASSERT note == "hello"',
        EffectClass.READ,
    ),
    Command(
        "WRITE",
        ast.Write,
        (Value("path", "a path"), Value("text", "a text or a heredoc", long=True)),
        "Makes a file of a text, or replaces it; a reader sees all of it or nothing.",
        _ANY,
        'WRITE "poem.txt" <<POEM\nRoses are red\nPOEM',
        EffectClass.WRITE,
    ),
    Command(
        "APPEND",
        ast.Append,
        (Value("path", "a path"), Value("text", "a text or a heredoc", long=True)),
        "Adds a text to the end of a file.",
        _ANY,
        'APPEND "list.txt" "one more\\n"',
        EffectClass.WRITE,
    ),
    Command(
        "MKDIR",
        ast.Mkdir,
        (Value("path", "a path"),),
        "Makes a folder, and those above it; one that is there stays.",
        _ANY,
        'MKDIR "out/pages"',
        EffectClass.WRITE,
    ),
    Command(
        "DELETE",
        ast.Delete,
        (Value("path", "a path"),),
        "Removes a file, or a folder that is empty.",
        _ANY,
        'WRITE "old.txt" ""\nDELETE "old.txt"\nASSERT NOT FILE "old.txt" EXISTS',
        EffectClass.WRITE,
    ),
    Command(
        "RUN",
        ast.Run,
        (Value("command", "a command", long=True), Maybe((Word("TIMEOUT"), Value("timeout", "a time")))),
        "Runs a command of the system in the sandbox; LAST_RUN has what came of it.",
        _ANY,
        'RUN "echo hello" TIMEOUT "10s"\nASSERT LAST_RUN.STDOUT CONTAINS "hello"',
        EffectClass.RUN,
    ),
    Command(
        "ASSERT",
        ast.Assert,
        (Value("condition", "a condition"), Maybe((Sign(","), Value("message", "a message")))),
        "Fails unless a condition holds.",
        _ANY,
        'VAR n = 3\nASSERT n > 2, "too few"',
    ),
    Command(
        "VAR",
        ast.Var,
        (NameOf("name", "a variable", defines=True), Sign("="), Value("value", "a value", long=True)),
        "Gives a variable a value.",
        _ANY,
        'VAR greeting = "hello"',
    ),
    Command(
        "LOG",
        ast.Log,
        (Value("value", "a value", long=True),),
        "Says something to who watches.",
        _ANY,
        'LOG "half done"',
    ),
    Command(
        "PROMPT_AGENT",
        ast.PromptAgent,
        (
            Value("prompt", "a prompt", long=True),
            Maybe((Word("INTO"), NameOf("into", "a variable", defines=True))),
            Maybe((Word("AS"), Word("JSON"), Value("schema", "a JSON Schema"))),
        ),
        "Asks a model; the answer may have to be JSON of a schema.",
        _ANY,
        'PROMPT_AGENT "Name a colour." INTO colour',
        EffectClass.MODEL,
    ),
    Command(
        "SET_BUDGET",
        ast.SetBudget,
        (
            NameOf("name", f"{', '.join(list(BUDGETS)[:-1])} or {list(BUDGETS)[-1]}", among=tuple(BUDGETS)),
            Sign("="),
            Value("limit", "a limit"),
        ),
        "What may be spent at most, in the block in which it stands.",
        _ANY,
        'SET_BUDGET EXECUTION_TIME = "5m"\nSET_BUDGET TOKEN_COUNT = 20000',
    ),
    Command(
        "PAUSE",
        ast.Pause,
        (Maybe((Value("message", "a message"),)),),
        "Waits until a person says that it goes on.",
        _ANY,
        'PAUSE "Look at the pictures, then go on."',
        EffectClass.HUMAN,
    ),
    Command(
        "REQUEST_REVIEW",
        ast.RequestReview,
        (Value("what", "what is to be reviewed", long=True),),
        "Shows something to a person, who approves it or not; what was approved is what was shown.",
        _ANY,
        'VAR draft = "Dear all"\nREQUEST_REVIEW draft',
        EffectClass.HUMAN,
    ),
    Command(
        "QUERY_DB",
        ast.QueryDb,
        (
            Value("query", "a statement of TissQL", long=True),
            Maybe((Word("WITH"), Value("parameters", "an object of parameters"))),
            Word("INTO"),
            NameOf("into", "a variable", defines=True),
        ),
        "Asks the database; the rows are a list of objects.",
        _ANY,
        'QUERY_DB "SELECT title FROM notes WHERE year = :year" WITH {year: 2026} INTO rows',
        EffectClass.READ,
    ),
    Command(
        "INSERT_DOC",
        ast.InsertDoc,
        (
            Value("collection", "a collection"),
            Word("FROM_VAR"),
            NameOf("source", "a variable"),
            Maybe((Word("INTO"), NameOf("into", "a variable", defines=True))),
        ),
        "Adds a document to a collection; its id may be kept.",
        _ANY,
        'VAR note = {title: "Hello"}\nINSERT_DOC "notes" FROM_VAR note INTO id',
        EffectClass.DATABASE,
    ),
    Command(
        "UPDATE_DOC",
        ast.UpdateDoc,
        (
            Value("collection", "a collection"),
            Word("DOC_ID"),
            Value("id", "an id"),
            Word("WITH_VAR"),
            NameOf("source", "a variable"),
        ),
        "Changes fields of a document.",
        _ANY,
        'VAR note = {title: "Hello"}\nINSERT_DOC "notes" FROM_VAR note INTO id\n'
        'VAR change = {title: "Goodbye"}\nUPDATE_DOC "notes" DOC_ID id WITH_VAR change',
        EffectClass.DATABASE,
    ),
    Command(
        "DELETE_DOC",
        ast.DeleteDoc,
        (Value("collection", "a collection"), Word("DOC_ID"), Value("id", "an id")),
        "Removes a document.",
        _ANY,
        'VAR note = {title: "Hello"}\nINSERT_DOC "notes" FROM_VAR note INTO id\nDELETE_DOC "notes" DOC_ID id',
        EffectClass.DATABASE,
    ),
)

BY_KEYWORD = {command.keyword: command for command in COMMANDS}

CLAUSES = frozenset(
    {"THEN", "ELSE", "IN", "CATCH", "AS", "FINALLY", "MAX", "FIX_WITH", "TIMEOUT", "INTO", "JSON", "WITH"}
    | {"FROM_VAR", "WITH_VAR", "DOC_ID"}
)
"""Words of commands after the first; a test holds them against the table."""

OPERATORS = frozenset({"AND", "OR", "NOT", "CONTAINS", "MATCHES", "IS_EMPTY", "EXISTS", "FILE"})

CONSTANTS = {"true": True, "false": False, "null": None}

RESERVED = frozenset(BY_KEYWORD) | CLAUSES | OPERATORS | frozenset(CONSTANTS) | PROVIDED
"""What no variable may be called."""
