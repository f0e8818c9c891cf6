from __future__ import annotations

import json


def test_each_form(tissu):
    assert "script" in tissu("lang", "grammar").out
    assert "root ::= " in tissu("lang", "grammar", "--format", "gbnf").out
    assert json.loads(tissu("lang", "grammar", "--format", "textmate").out)["scopeName"] == "source.tiss"


def test_tags_of_heredocs(tissu):
    out = tissu("lang", "grammar", "--format", "gbnf", "--tag", "POEM").out
    assert "<<POEM" in out
    assert "<<PY" not in out
    outcome = tissu("lang", "grammar", "--tag", "POEM")
    assert outcome.code != 0
    assert "--tag means nothing to ebnf" in outcome.err
