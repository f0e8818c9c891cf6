from __future__ import annotations


def test_without_pygls_it_says_what_to_install(tissu, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    outcome = tissu("lang", "lsp")
    assert outcome.code != 0
    assert "pip install 'quanta-tissu[lsp]'" in outcome.err
