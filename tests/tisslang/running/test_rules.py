from __future__ import annotations

import pytest

from quanta_tissu.errors import ConfigError
from quanta_tissu.tisslang.engine.effects import DeleteFile, InsertDocument, RunCommand, WriteFile
from quanta_tissu.tisslang.running.rules import Rule, decide, facts_of, read_rules


def command(text, **about):
    facts = {"variables": {}, "raw": False, "timeout": None, "sandbox": None, "network": False, "on_resume": "ask"}
    return RunCommand(command=text, **{**facts, **about})


def decision(rules, action, root, level="bwrap"):
    return decide(rules, facts_of(action, root, level)).decision


def rules_of(tmp_path, text):
    path = tmp_path / "rules.toml"
    path.write_text(text)
    return read_rules(path)


@pytest.mark.parametrize(
    ("about", "level", "said"),
    [
        ({}, "bwrap", "allow"),
        ({"raw": True}, "bwrap", "ask"),
        ({"network": True}, "bwrap", "ask"),
        ({"sandbox": "none"}, "bwrap", "ask"),
        ({}, "none", "ask"),
        ({"sandbox": "landlock"}, "none", "allow"),
    ],
)
def test_without_rules_a_person_is_asked_about_what_is_dangerous(tmp_path, about, level, said):
    assert decision((), command("ls", **about), tmp_path, level) == said


def test_the_first_rule_that_fits_decides(tmp_path):
    rules = rules_of(
        tmp_path,
        '[[rule]]\ndecision = "allow"\nop = "WRITE"\npath = "out/**"\n'
        '[[rule]]\ndecision = "ask"\nop = ["WRITE", "DEL*"]\nwhy = "outside of out"\n',
    )
    assert decision(rules, WriteFile(path="out/a/b.txt", text=""), tmp_path) == "allow"
    assert decision(rules, WriteFile(path="out/../b.txt", text=""), tmp_path) == "ask"
    assert decision(rules, DeleteFile(path="a"), tmp_path) == "ask"
    assert decision(rules, command("ls"), tmp_path) == "allow"


def test_a_path_is_what_it_is_in_truth(tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "out").symlink_to("secret")
    rules = (Rule("deny", {"path": ("secret/**",)}),)
    assert decision(rules, WriteFile(path="out/x", text=""), tmp_path) == "deny"
    assert decision(rules, WriteFile(path="./secret//x", text=""), tmp_path) == "deny"
    assert decision(rules, WriteFile(path="secrets/x", text=""), tmp_path) == "allow"


def test_a_rule_that_allows_needs_all_programs_one_that_denies_any(tmp_path):
    allow = (Rule("allow", {"program": ("git", "make")}), Rule("deny", {"op": ("RUN",)}))
    assert decision(allow, command("git status && make"), tmp_path) == "allow"
    assert decision(allow, command("git status && curl x"), tmp_path) == "deny"
    deny = (Rule("deny", {"program": ("curl",)}),)
    assert decision(deny, command("git status && curl x"), tmp_path) == "deny"


@pytest.mark.parametrize("text", ["ls\ncurl x", "env curl x", '"${TISS_1}" x', "sh -c 'curl x'", "echo $(curl x)"])
def test_a_program_that_is_forbidden_is_found_however_it_is_written(tmp_path, text):
    rules = (Rule("deny", {"program": ("curl",)}),)
    assert decision(rules, command(text, variables={"TISS_1": "/usr/bin/curl"}), tmp_path) == "deny"


def test_collections_are_facts(tmp_path):
    rules = (Rule("deny", {"collection": ("private*",)}),)
    assert decision(rules, InsertDocument(collection="private_notes", document={}), tmp_path) == "deny"
    assert decision(rules, InsertDocument(collection="notes", document={}), tmp_path) == "allow"


def test_without_a_file_there_are_no_rules(tmp_path):
    assert read_rules(tmp_path / "rules.toml") == ()


@pytest.mark.parametrize(
    "text",
    [
        "[[rule",
        "more = 1",
        '[[rule]]\ndecision = "maybe"',
        '[[rule]]\nop = "RUN"',
        '[[rule]]\ndecision = "ask"\nhost = "x"',
        '[[rule]]\ndecision = "ask"\nnetwork = "yes"',
        '[[rule]]\ndecision = "ask"\nop = []',
        '[[rule]]\ndecision = "ask"\nop = 3',
        "rule = 5",
        '[rule]\ndecision = "ask"',
        "rule = [1]",
    ],
)
def test_what_is_no_rule_is_refused(tmp_path, text):
    with pytest.raises(ConfigError):
        rules_of(tmp_path, text)


@pytest.mark.parametrize(
    ("fact", "hint"),
    [
        ('op = "RUNN"', "did you mean RUN?"),
        ('op = ["WRITE", "delete"]', "did you mean DELETE?"),
        ('op = "LOG"', "there are APPEND, "),
        ('sandbox = "bubblewrap"', "did you mean bwrap?"),
    ],
)
def test_a_rule_that_could_never_fit_is_refused(tmp_path, fact, hint):
    (tmp_path / "rules.toml").write_text(f'[[rule]]\ndecision = "deny"\n{fact}\n')
    with pytest.raises(ConfigError, match="which is never so") as caught:
        read_rules(tmp_path / "rules.toml")
    assert caught.value.hint.startswith(hint)


def test_patterns_of_ops_are_rules(tmp_path):
    (tmp_path / "rules.toml").write_text('[[rule]]\ndecision = "ask"\nop = ["*_DOC", "QUERY_?B"]\n')
    assert len(read_rules(tmp_path / "rules.toml")) == 1
