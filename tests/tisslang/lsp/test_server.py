"""The language server from outside: a client in another process asks, as an editor does."""

from __future__ import annotations

import random

import pytest

from tests.tisslang.lsp.client import Client, RefusedError
from tests.tisslang.syntax.scripts import BREAKS, GOOD

WIDE = """STEP "日本語 😀" {
    VAR 数 = {name: "😀😀"}
    LOG "é😀 {{数.name}}" + 数.name
    LOG "😀" = 数
}
"""


def start(found):
    return found["start"]["line"], found["start"]["character"]


def marked(text, found, unit=2):
    """The characters of a range, cut out as an editor cuts them: by code units."""
    encoding = {1: "utf-8", 2: "utf-16-le", 4: "utf-32-le"}[unit]
    line = text.split("\n")[found["start"]["line"]].encode(encoding)
    assert found["start"]["line"] == found["end"]["line"]
    return line[found["start"]["character"] * unit : found["end"]["character"] * unit].decode(encoding)


def place(text, piece, occurrence=0, inside=0):
    """Line and column, in code units, of a piece of a text."""
    at = -1
    for _ in range(occurrence + 1):
        at = text.index(piece, at + 1)
    before = text[: at + inside]
    line = before.count("\n")
    return line, len(before.rpartition("\n")[2].encode("utf-16-le")) // 2


def labels(editor, text, **more):
    """What is proposed at the place that `|` marks."""
    before, _, after = text.partition("¦")
    uri = editor.script(before + after)
    return [one["label"] for one in editor.at("completion", uri, *place(text, "¦"), **more)]


class TestStartAndEnd:
    def test_the_server_says_what_it_can_do_and_ends_with_0(self, root):
        client = Client(root)
        try:
            assert client.capabilities["positionEncoding"] == "utf-16"
            assert client.capabilities["textDocumentSync"]["change"] == 1
            assert client.capabilities["renameProvider"] == {"prepareProvider": True}
            assert client.close() == 0
            assert client.server.errors == []
        finally:
            client.kill()

    def test_an_end_without_being_asked_to_is_a_failure(self, root):
        client = Client(root)
        client.tell("exit")
        assert client.server.wait() == 1

    @pytest.mark.parametrize(("encoding", "unit"), [("utf-8", 1), ("utf-32", 4)])
    def test_an_editor_may_count_in_other_units(self, root, encoding, unit):
        client = Client(root, general={"positionEncodings": [encoding]})
        try:
            assert client.capabilities["positionEncoding"] == encoding
            [found] = client.open((root / "wide.tiss").as_uri(), WIDE)
            assert marked(WIDE, found["range"], unit) == "="
        finally:
            client.kill()


class TestDiagnostics:
    def test_are_said_when_a_script_is_opened_and_when_it_changes(self, editor):
        uri = editor.script("LOG 1\n")
        assert editor.diagnostics[uri]["diagnostics"] == []
        [found] = editor.change(uri, 'RUNN "ls"\n')
        assert (found["code"], found["source"], found["severity"]) == ("E009", "tissu", 1)
        assert found["message"].startswith("`RUNN` is no command: did you mean `RUN`?")
        assert editor.change(uri, 'RUN "ls"\n') == []

    def test_mark_the_right_characters_among_wide_ones(self, editor):
        uri = editor.script(WIDE)
        [found] = editor.diagnostics[uri]["diagnostics"]
        assert marked(WIDE, found["range"]) == "="
        text = WIDE.replace('LOG "😀" = 数', 'LOG "😀" + "😀😀" + fehlt')
        [found] = editor.change(uri, text)
        assert marked(text, found["range"]) == "fehlt"

    def test_other_places_go_with_them(self, editor):
        text = 'STEP "a" {\n  STEP "b" {\n  }\n}\n'
        uri = editor.script(text)
        [found] = editor.diagnostics[uri]["diagnostics"]
        [other] = found["relatedInformation"]
        assert (start(found["range"]), start(other["location"]["range"])) == ((1, 2), (0, 0))
        assert other["message"] == "enclosing STEP opened here"

    def test_warnings_are_warnings_and_unreachable_text_is_faded(self, editor):
        uri = editor.script("ASSERT false\nLOG 1\n")
        [found] = editor.diagnostics[uri]["diagnostics"]
        assert (found["severity"], found["tags"]) == (2, [1])

    def test_those_of_a_script_follow_what_it_imports(self, editor):
        library = editor.script("LOG 1\n", "lib.tiss")
        plan = editor.script('IMPORT "lib.tiss"\nCALL "greet"\n')
        assert [one["code"] for one in editor.diagnostics[plan]["diagnostics"]] == ["E109"]
        version = editor.diagnostics[plan]["version"]
        editor.diagnostics.clear()
        editor.change(library, 'DEFINE_TASK "greet" {\n}\n')
        assert editor.said(plan, version) == []

    def test_are_gone_when_a_script_is_closed(self, editor):
        uri = editor.script("LOG x\n")
        editor.tell("textDocument/didClose", textDocument={"uri": uri})
        while editor.diagnostics[uri]["diagnostics"]:
            editor._take()


class TestCodeActions:
    def ask(self, editor, uri, line, **context):
        whole = {"start": {"line": line, "character": 0}, "end": {"line": line, "character": 99}}
        return editor.about("codeAction", uri, range=whole, context={"diagnostics": [], **context})

    def test_mend_what_is_wrong(self, editor):
        uri = editor.script("VAR a = 1\nASSERT a = 1\nASSERT a = 2\n")
        fix, everything = self.ask(editor, uri, 1)
        assert (fix["title"], fix["kind"], fix["isPreferred"]) == ("Write `==`", "quickfix", True)
        [edit] = fix["edit"]["changes"][uri]
        assert (start(edit["range"]), edit["newText"]) == ((1, 9), "==")
        assert fix["diagnostics"][0]["code"] == "E014"
        assert len(everything["edit"]["changes"][uri]) == 2

    def test_only_those_that_are_asked_for(self, editor):
        uri = editor.script("VAR a = 1\nASSERT a = 1\n")
        assert [one["kind"] for one in self.ask(editor, uri, 1, only=["source.fixAll"])] == ["source.fixAll.tissu"]
        assert [one["kind"] for one in self.ask(editor, uri, 1, only=["quickfix"])] == ["quickfix"]
        assert self.ask(editor, uri, 1, only=["refactor"]) == []


class TestHover:
    @pytest.mark.parametrize(
        ("text", "word", "expected"),
        [
            ('RUN "ls"\n', "RUN", "RUN <command> [TIMEOUT <timeout>]"),
            ('RUN "ls" TIMEOUT 5s\n', "TIMEOUT", "RUN <command> [TIMEOUT <timeout>]"),
            ('@sandbox txn\n', "sandbox", "How commands are kept in."),
            ('SET_BUDGET COST = 2\n', "COST", "an amount of money"),
            ('RUN "ls"\nLOG LAST_RUN.STDOUT\n', "STDOUT", "what the command wrote"),
            ('RUN "ls"\nLOG "{{LAST_RUN.STDERR}}"\n', "STDERR", "standard error"),
            ('RUN "ls"\nLOG LAST_RUN.STDOUT\n', "LAST_RUN", "came of the command"),
            ('VAR a = "x"\nLOG "{{a | upper}}"\n', "upper", "in capitals"),
            ('VAR a = "x"\nLOG "{{a | upper}}"\n', "{a", "line 1: `` VAR a = \"x\" ``"),
            ("VAR a = 1\nASSERT a == 1 AND a == 1\n", "AND", "both conditions hold"),
            ("LOG nothing\n", "nothing", "nothing sets it"),
            ('DEFINE_TASK "t"(a, b) {\n}\nCALL "t"(1, 2)\n', '"t"(1', 'DEFINE_TASK "t"(a, b)'),
        ],
    )  # fmt: skip
    def test_says_what_a_word_is(self, editor, text, word, expected):
        uri = editor.script(text)
        line, column = place(text, word, inside=1)
        assert expected in editor.at("hover", uri, line, column)["contents"]["value"]

    @pytest.mark.parametrize(
        ("text", "word"),
        [('LOG "RUN"\n', "RUN"), ("# RUN\n", "RUN"), ("LOG 12\n", "12"), ("VAR a = {b: 1}\n", "{b")],
    )
    def test_is_silent_where_there_is_nothing_to_say(self, editor, text, word):
        assert editor.at("hover", editor.script(text), *place(text, word, inside=1)) is None

    def test_says_where_a_task_of_another_script_is_defined(self, editor, root):
        (root / "lib.tiss").write_text('# tasks\nDEFINE_TASK "greet"(name) {\n}\n')
        text = 'IMPORT "lib.tiss"\nCALL "greet"("Ada")\n'
        said = editor.at("hover", editor.script(text), *place(text, "greet"))["contents"]["value"]
        assert 'DEFINE_TASK "greet"(name)' in said
        assert "line 2 of" in said
        assert "lib.tiss" in said


class TestCompletion:
    def test_commands_are_those_that_may_stand_there(self, editor):
        in_file = labels(editor, "¦")
        assert {"TASK", "STEP", "RUN", "IMPORT", "@persona"} <= set(in_file)
        assert "OPTION" not in in_file
        in_step = labels(editor, 'TASK "t" {\n    STEP "a" {\n        LOG 1\n        ¦\n    }\n}\n')
        assert {"RUN", "IF", "CHOOSE"} <= set(in_step)
        assert not {"STEP", "TASK", "SETUP", "OPTION", "IMPORT", "DEFINE_TASK"} & set(in_step)
        assert labels(editor, "PARALLEL {\n    ¦\n}\n") == ["STEP"]
        assert labels(editor, "CHOOSE {\n    O¦\n}\n") == ["STEP", "OPTION"]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ('READ "a" ¦', {"AS"}),
            ("RETRY ¦", {"MAX"}),
            ('RUN "ls" ¦', {"TIMEOUT"}),
            ('PROMPT_AGENT "p" ¦', {"INTO", "AS"}),
            ("IF 1 == 1 {\n}\n¦", {"ELSE", "RUN"}),
            ("TRY {\n} ¦", {"CATCH", "FINALLY"}),
            ("SET_BUDGET ¦", {"EXECUTION_TIME", "API_CALLS", "TOKEN_COUNT", "COST"}),
            ("@on_error ¦", {"cancel", "collect"}),
            ("@te¦", {"@template", "@temperature"}),
            ('RUN "ls"\nLOG LAST_RUN.¦', {"STDOUT", "STDERR", "EXIT_CODE", "EXECUTION_TIME"}),
            ('RUN "ls"\nLOG "{{LAST_RUN.¦}}"', {"STDOUT", "STDERR", "EXIT_CODE", "EXECUTION_TIME"}),
            ("VAR user = {name: 1}\nLOG ¦", {"user", "LAST_RUN", "COST", "FILE"}),
            ("VAR user = {name: 1}\nLOG user.¦", {"name"}),
            ('VAR user = {name: 1}\nLOG "a {{us¦"', {"user", "LAST_RUN"}),
            ('VAR user = {name: 1}\nLOG "a {{user.¦}} b"', {"name"}),
            ('VAR user = {name: 1}\nLOG "a {{user | ¦}} b"', {"upper", "sh", "raw"}),
            ("VAR user = 1\nWRITE \"f\" <<A\n  {{¦}}\nA\n", {"user"}),
            ('DEFINE_TASK "greet" {\n}\nCALL ¦', {"greet"}),
            ('DEFINE_TASK "greet" {\n}\nCALL "¦"', {"greet"}),
            ("TRY {\n} CATCH AS e {\n    LOG e.¦\n}", {"message"}),
        ],
    )  # fmt: skip
    def test_the_words_that_may_come(self, editor, text, expected):
        assert expected <= set(labels(editor, text))

    @pytest.mark.parametrize("text", ['LOG "R¦"', "# R¦", 'WRITE "f" <<A\nR¦\nA\n', "VAR ¦", "LOG 1¦2"])
    def test_nothing_where_text_is_free(self, editor, text):
        assert not {"RUN", "READ"} & set(labels(editor, text))

    def test_variables_are_those_that_have_a_value_there(self, editor):
        text = 'VAR a = 1\nDEFINE_TASK "t"(p) {\n    LOG ¦\n}\nVAR later = 1\n'
        found = set(labels(editor, text))
        assert "p" in found
        assert not {"a", "later"} & found
        inner = set(labels(editor, "FOR i IN [1] {\n    LOG ¦\n}\n"))
        assert "i" in inner
        assert "i" not in labels(editor, "FOR i IN [1] {\n}\nLOG ¦\n")

    def test_a_command_comes_with_places_to_fill_in(self, editor):
        uri = editor.script("RE\n")
        found = {one["label"]: one for one in editor.at("completion", uri, 0, 2)}
        assert found["READ"]["textEdit"]["newText"] == "READ ${1:path} AS ${2:into}"
        assert found["READ"]["insertTextFormat"] == 2
        assert found["SET_BUDGET"]["textEdit"]["newText"].startswith("SET_BUDGET ${1|EXECUTION_TIME,")

    def test_what_is_chosen_replaces_what_was_typed(self, editor):
        uri = editor.script('VAR größe = 1\nLOG "😀 {{grö}}"\n')
        [item] = [one for one in editor.at("completion", uri, 1, 13) if one["label"] == "größe"]
        assert item["textEdit"]["range"] == {
            "start": {"line": 1, "character": 10},
            "end": {"line": 1, "character": 13},
        }


class TestNames:
    def places(self, editor, uri, text, method, word, occurrence=0, **more):
        found = editor.at(method, uri, *place(text, word, occurrence), **more)
        return [(one["uri"], start(one["range"])) for one in found]

    def test_of_variables_also_in_holes_and_among_wide_characters(self, editor):
        uri = editor.script(WIDE)
        found = self.places(editor, uri, WIDE, "references", "数", 1, context={"includeDeclaration": True})
        assert found == [(uri, place(WIDE, "数", n)) for n in range(4)]
        assert self.places(editor, uri, WIDE, "definition", "数", 2) == [(uri, place(WIDE, "数"))]
        uses = self.places(editor, uri, WIDE, "references", "数", 1, context={"includeDeclaration": False})
        assert len(uses) == 3

    def test_in_a_broken_script(self, editor):
        text = 'VAR a = 1\nSTEP {\n    LOG a +\n    LOG "{{a}}"\n'
        uri = editor.script(text)
        assert self.places(editor, uri, text, "definition", "a}}") == [(uri, (0, 4))]

    def test_of_tasks_across_scripts(self, editor, root):
        (root / "lib.tiss").write_text('DEFINE_TASK "greet" {\n}\n')
        (root / "deep").mkdir(exist_ok=True)
        (root / "deep" / "other.tiss").write_text('IMPORT "../lib.tiss"\nCALL "greet"\n')
        text = 'IMPORT "lib.tiss"\nCALL "greet"\n'
        uri = editor.script(text)
        library, other = (root / "lib.tiss").as_uri(), (root / "deep" / "other.tiss").as_uri()
        assert self.places(editor, uri, text, "definition", "greet") == [(library, (0, 13))]
        assert self.places(editor, uri, text, "definition", "lib.tiss") == [(library, (0, 0))]
        found = self.places(editor, uri, text, "references", "greet", context={"includeDeclaration": True})
        assert found == [(library, (0, 13)), (uri, (1, 6)), (other, (1, 6))]
        changed = editor.at("rename", uri, 1, 8, newName="say hello")["changes"]
        assert {one: len(edits) for one, edits in changed.items()} == {library: 1, uri: 1, other: 1}
        assert changed[uri][0]["newText"] == "say hello"

    def test_a_variable_of_a_task_is_not_that_of_the_script(self, editor):
        text = 'VAR a = 1\nDEFINE_TASK "t"(a) {\n    LOG a\n}\nCALL "t"(a)\n'
        uri = editor.script(text)
        found = self.places(editor, uri, text, "references", "a)", context={"includeDeclaration": True})
        assert [at for _, at in found] == [(1, 16), (2, 8)]

    def test_reading_and_writing_are_told_apart(self, editor):
        uri = editor.script("VAR a = 1\nLOG a\nVAR a = a + 1\n")
        found = editor.at("documentHighlight", uri, 0, 4)
        assert [(start(one["range"]), one["kind"]) for one in found] == [
            ((0, 4), 3), ((1, 4), 2), ((2, 4), 3), ((2, 8), 2),
        ]  # fmt: skip

    def test_a_name_changes_wherever_it_stands(self, editor):
        text = 'VAR a = 1\nFOR a IN [a] {\n    LOG "{{a}}"\n}\nLOG a\n'
        uri = editor.script(text)
        assert editor.at("prepareRename", uri, 0, 4)["start"] == {"line": 0, "character": 4}
        found = editor.at("rename", uri, 0, 4, newName="b")["changes"][uri]
        assert [start(one["range"]) for one in found] == [(0, 4), (1, 10), (4, 4)]

    @pytest.mark.parametrize(
        ("new", "why"),
        [("2x", "is no name"), ("RUN", "a word of the language"), ("b", "another variable already, on line 2")],
    )
    def test_a_name_that_cannot_be_is_refused(self, editor, new, why):
        uri = editor.script("VAR a = 1\nVAR b = 2\n")
        with pytest.raises(RefusedError, match=why):
            editor.at("rename", uri, 0, 4, newName=new)

    @pytest.mark.parametrize(("new", "why"), [('a"b', "cannot name a task"), ("u", "there is a task `u` already")])
    def test_so_is_a_title(self, editor, new, why):
        uri = editor.script('DEFINE_TASK "t" {\n}\nDEFINE_TASK "u" {\n}\n')
        with pytest.raises(RefusedError, match=why):
            editor.at("rename", uri, 0, 13, newName=new)

    def test_what_has_no_name_has_no_places(self, editor):
        uri = editor.script('LOG 1\nRETRY MAX 2 {\n} FIX_WITH PROMPT_AGENT "{{failure}}"\n')
        assert editor.at("definition", uri, 0, 4) == []
        assert editor.at("prepareRename", uri, 0, 4) is None
        assert editor.at("prepareRename", uri, 2, 28) is None
        assert editor.at("rename", uri, 0, 4, newName="x") is None
        with pytest.raises(RefusedError, match="a name of the language"):
            editor.at("rename", uri, 2, 28, newName="x")


class TestOutline:
    def test_blocks_with_names_are_in_each_other(self, editor):
        uri = editor.script(GOOD)
        [task] = editor.about("documentSymbol", uri)
        assert (task["name"], task["detail"]) == ("Create and test a script", "TASK")
        assert [one["name"] for one in task["children"]] == [
            "the tools", "Write it", "Check it", "PARALLEL", "Which way?", "Keep it",
        ]  # fmt: skip
        assert [one["name"] for one in task["children"][3]["children"]] == ["Left", "Right"]

    def test_blocks_heredocs_and_comments_fold(self, editor):
        uri = editor.script('# one\n# two\nSTEP "a" {\n    WRITE "f" <<A\nx\ny\nA\n}\n')
        found = [(one["startLine"], one["endLine"], one.get("kind")) for one in editor.about("foldingRange", uri)]
        assert sorted(found, key=str) == [(0, 1, "comment"), (2, 6, None), (3, 6, None)]


OPTIONS = {"tabSize": 4, "insertSpaces": True}


class TestFormatting:
    def test_is_that_of_the_formatter(self, editor):
        uri = editor.script('STEP "😀"{\nLOG 1\n}')
        [edit] = editor.about("formatting", uri, options=OPTIONS)
        assert edit["newText"] == 'STEP "😀" {\n    LOG 1\n}\n'
        assert edit["range"]["end"] == {"line": 2, "character": 1}

    def test_changes_nothing_where_nothing_is_to_do_or_nobody_knows_what_was_meant(self, editor):
        assert editor.about("formatting", editor.script("LOG 1\n"), options=OPTIONS) == []
        assert editor.about("formatting", editor.script("STEP {\n"), options=OPTIONS) is None


class TestColours:
    def test_each_word_has_its_kind(self, editor):
        text = '@persona "x"\nVAR a = 1  # why\nLOG "é😀 {{a.b | upper}}" + LAST_RUN.STDOUT\n'
        uri = editor.script(text)
        legend = editor.capabilities["semanticTokensProvider"]["legend"]["tokenTypes"]
        data = editor.about("semanticTokens/full", uri)["data"]
        found, line, column = [], 0, 0
        for down, right, length, kind, _ in zip(*(data[n::5] for n in range(5)), strict=True):
            line, column = line + down, right + (column if not down else 0)
            at = {
                "start": {"line": line, "character": column},
                "end": {"line": line, "character": column + length},
            }
            found.append((marked(text, at), legend[kind]))
        assert found == [
            ("@persona", "decorator"), ('"x"', "string"), ("VAR", "keyword"), ("a", "variable"), ("1", "number"),
            ("# why", "comment"), ("LOG", "keyword"), ('"é😀 {{', "string"), ("a", "variable"),
            (".b | ", "string"),
            ("upper", "function"), ('}}"', "string"), ("LAST_RUN", "macro"), ("STDOUT", "property"),
        ]  # fmt: skip


class TestWhatIsNotThere:
    def test_a_script_that_cannot_be_read_is_refused(self, editor, root):
        with pytest.raises(RefusedError, match="cannot be read"):
            editor.about("documentSymbol", (root / "none.tiss").as_uri())
        (root / "latin.tiss").write_bytes(b"LOG \xe9")
        with pytest.raises(RefusedError, match="not UTF-8"):
            editor.about("documentSymbol", (root / "latin.tiss").as_uri())

    def test_places_beyond_the_end_are_the_end(self, editor):
        uri = editor.script("LOG 1")
        assert editor.at("hover", uri, 99, 99) is None
        assert isinstance(editor.at("completion", uri, 99, 99), list)


QUESTIONS = ("documentSymbol", "foldingRange", "semanticTokens/full")
PLACES = ("hover", "completion", "definition", "documentHighlight", "prepareRename")


def ask_all(editor, uri, text, line, column):
    for method in QUESTIONS:
        editor.about(method, uri)
    for method in PLACES:
        editor.at(method, uri, line, column)
    editor.at("references", uri, line, column, context={"includeDeclaration": True})
    whole = {"start": {"line": 0, "character": 0}, "end": {"line": 9999, "character": 0}}
    editor.about("codeAction", uri, range=whole, context={"diagnostics": []})
    editor.about("formatting", uri, options=OPTIONS)


class TestBrokenScripts:
    @pytest.mark.parametrize(("old", "new"), BREAKS)
    def test_every_question_is_answered(self, editor, old, new):
        text = GOOD.replace(old, new, 1)
        uri = editor.script(text)
        assert editor.diagnostics[uri]["diagnostics"]
        at = GOOD.index(old)
        ask_all(editor, uri, text, text.count("\n", 0, at), 8)

    def test_every_question_is_answered_by_a_server_of_its_own(self, root):
        client = Client(root)
        try:
            uri = (root / "good.tiss").as_uri()
            client.open(uri, GOOD)
            ask_all(client, uri, GOOD, 20, 12)
            assert client.close() == 0
            assert client.server.errors == []
        finally:
            client.kill()

    @pytest.mark.slow
    @pytest.mark.timeout(900)
    def test_ten_thousand_edits_do_not_kill_the_server(self, root):
        """None is answered with an error, either; one in 20 is followed by every question there is."""
        dice = random.Random(5)
        pieces = [
            "{",
            "}",
            "{{",
            "}}",
            '"',
            "'",
            "<<A\n",
            "A\n",
            "\n",
            "STEP ",
            "ELSE ",
            "IF ",
            "(",
            "[",
            ",",
            "=",
        ]
        pieces += [
            "#",
            "😀",
            "\r",
            "\r\n",
            "\u2028",
            "\ud7ff",
            "@",
            "|",
            ".",
            "LAST_RUN.",
            "\\",
            "\t",
            "é",
            "\0",
            "TASK ",
        ]
        client = Client(root)
        try:
            uri = (root / "wild.tiss").as_uri()
            text = GOOD
            client.open(uri, text)
            for number in range(10_000):
                start = dice.randrange(len(text) + 1)
                end = min(start + dice.choice([0, 0, 1, 3, 20]), len(text))
                text = text[:start] + dice.choice(["", *pieces]) + text[end:]
                if not 100 < len(text) < 4000:
                    text = GOOD
                client.change(uri, text, wait=False)
                if number % 20 == 0:
                    ask_all(client, uri, text, dice.randrange(80), dice.randrange(60))
            assert client.change(uri, "LOG 1\n") == []
            assert client.close() == 0
            assert client.server.errors == []
        finally:
            client.kill()
