"""Secrets are hidden wherever they turn up: spelled otherwise, in bytes, over the borders of pieces."""

from __future__ import annotations

import base64
import html
import json
import os
import shlex
import subprocess
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import JournalError
from quanta_tissu.tisslang.journal.redaction import Redactor

TOKEN = "pä\"s\\s w/ö<r>d&1'$+?"
PLAIN = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
KEY = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA7bq98yGmLL\nc3RlciBmbHVmZnkgY2F0cyBh\n-----END KEY-----\n"

redactor = Redactor({"TOKEN": TOKEN, "PLAIN": PLAIN, "KEY": KEY})


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


SPELLINGS = {
    "as it is": lambda value: value,
    "JSON": lambda value: json.dumps(value),
    "JSON with letters beyond ASCII": lambda value: json.dumps(value, ensure_ascii=False),
    "JSON in JSON": lambda value: json.dumps(json.dumps({"password": value})),
    "JSON with escaped slashes": lambda value: json.dumps(value).replace("/", "\\/"),
    "Python": repr,
    "HTML": html.escape,
    "a shell's word": shlex.quote,
    "a part of a URL": lambda value: quote(value, safe=""),
    "a path in a URL": quote,
    "a form": quote_plus,
    "a query": lambda value: urlencode({"password": value}),
    "a URL in small letters": lambda value: "".join(
        part[:3].lower() + part[3:] if part.startswith("%") else part
        for part in quote(value, safe="").replace("%", "\0%").split("\0")
    ),
    "base64": _base64,
    "base64 for URLs": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    "base64 without its end": lambda value: _base64(value).rstrip("="),
    "a user's password in base64": lambda value: _base64(f"user:{value}"),
    "base64 of one before": lambda value: _base64("x" + value),
    "base64 of one behind": lambda value: _base64(value + "x"),
    "base64 of a part of something longer": lambda value: _base64('{"a":"' + value + '","b":1}'),
    "base64 in lines": lambda value: base64.encodebytes(value.encode()).decode(),
    "digits": lambda value: value.encode().hex(),
    "capital digits": lambda value: value.encode().hex().upper(),
}


@pytest.mark.parametrize("how", SPELLINGS)
@pytest.mark.parametrize(("name", "value"), {"TOKEN": TOKEN, "PLAIN": PLAIN, "KEY": KEY}.items())
def test_a_secret_is_found_spelled_as(how, name, value):
    said = "before " + SPELLINGS[how](value) + " behind"
    clean = redactor.text(said)
    assert f"[secret {name}]" in clean
    assert clean.startswith("before ")
    assert clean.endswith(" behind")
    around = len("before " + SPELLINGS[how]("") + " behind") + 8  # base64 shares characters with its neighbours
    assert len(clean) - len(f"[secret {name}]") <= around


@pytest.mark.parametrize(
    "command", ["base64", "base64 -w0", "od -An -v -tx1 | tr -d ' \\n'", "python3 -c 'print(ascii(input()))'"]
)
def test_what_the_system_makes_of_it_is_found(command):
    done = subprocess.run(["sh", "-c", command], input=PLAIN.encode(), capture_output=True, check=True)
    assert redactor.data(done.stdout).startswith(b"[secret PLAIN]") or b"'[secret PLAIN]'" in redactor.data(
        done.stdout
    )


def test_a_line_of_a_secret_of_several_lines_is_found_by_itself():
    assert redactor.text("key: MIIEpAIBAAKCAQEA7bq98yGmLL!") == "key: [secret KEY]!"
    short = Redactor({"KEY": "short\nand a line that is long enough"})
    assert short.text("short") == "short"
    assert short.text("> and a line that is long enough") == "> [secret KEY]"


def test_what_overlaps_is_hidden_as_one():
    both = Redactor({"A": "abcdefgh", "B": "efghijkl", "C": "abcdefghijklmnop"})
    assert both.text("xabcdefghijklx") == "x[secret A]x"
    assert both.text("xabcdefghijklmnopx") == "x[secret C]x"
    assert both.text("xefghijklabcdefghx") == "x[secret B][secret A]x"
    assert Redactor({"A": "aaaaaaaa"}).text("b" + "a" * 30 + "b") == "b[secret A]b"


def test_values_are_cleaned_in_names_texts_numbers_and_bytes():
    number = Redactor({"PIN": "83746521", "PLAIN": PLAIN})
    value = {PLAIN: [f"a {PLAIN}", 83746521, 1.5, True, None, ("x", PLAIN.encode())], "n": {"m": 83746521.0}}
    assert number.value(value) == {
        "[secret PLAIN]": ["a [secret PLAIN]", "[secret PIN]", 1.5, True, None, ["x", b"[secret PLAIN]"]],
        "n": {"m": "[secret PIN].0"},
    }


def test_what_holds_none_stays_the_same_object():
    text, data = "nothing here \ud800", b"nothing here \xff"
    assert redactor.text(text) is text
    assert redactor.data(data) is data
    assert not Redactor()
    assert Redactor().value({"a": 1}) == {"a": 1}
    assert Redactor().text(text) is text
    assert redactor.text("\ud800" + PLAIN) == "\ud800[secret PLAIN]"


def test_what_is_too_short_to_be_hidden_is_refused():
    with pytest.raises(JournalError, match="the secret PIN is 4 characters long") as caught:
        Redactor({"PIN": "1234"})
    assert "1234" not in str(caught.value)


class TestStreams:
    pieces = st.lists(
        st.binary(max_size=8)
        | st.sampled_from([PLAIN.encode(), TOKEN.encode(), _base64(PLAIN).encode(), b"aaab", b"aab", b"\n"])
        | st.sampled_from([PLAIN[:20].encode(), PLAIN[20:].encode(), KEY.encode()]),
        max_size=8,
    )

    @given(pieces=pieces, data=st.data())
    def test_pieces_give_what_the_whole_gives(self, pieces, data):
        both = Redactor({"TOKEN": TOKEN, "PLAIN": PLAIN, "KEY": KEY, "A": "aaabaaab", "B": "baabaaabaa"})
        whole = b"".join(pieces)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
        stream = both.stream()
        out = b"".join(
            stream.feed(whole[start:end]) for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)
        )
        assert out + stream.finish() == both.data(whole)

    @pytest.mark.parametrize("name", ["TOKEN", "PLAIN", "KEY"])
    def test_a_secret_parted_anywhere_is_found(self, name):
        value = {"TOKEN": TOKEN, "PLAIN": PLAIN, "KEY": KEY}[name].encode()
        for cut in range(len(value) + 1):
            stream = redactor.stream()
            out = stream.feed(b"before " + value[:cut]) + stream.feed(value[cut:] + b" behind") + stream.finish()
            assert out == f"before [secret {name}] behind".encode()

    def test_a_byte_at_a_time(self):
        stream = redactor.stream()
        said = f"x {PLAIN} y {TOKEN} z".encode()
        out = b"".join(stream.feed(bytes([byte])) for byte in said) + stream.finish()
        assert out == b"x [secret PLAIN] y [secret TOKEN] z"

    def test_what_cannot_become_a_secret_is_not_held_back(self):
        stream = redactor.stream()
        assert stream.feed(b"Password: ") == b"Password: "
        assert stream.feed(b"gh") == b""
        assert stream.feed(b"ost ") == b"ghost "
        assert stream.finish() == b""


def test_much_output_is_cleaned_fast_enough():
    import time

    data = os.urandom(1 << 20)
    before = time.thread_time()
    assert redactor.data(data) is data
    assert time.thread_time() - before < 1.0
