"""Sources: which documents come, in which order, and what is said about text that cannot be used."""

from __future__ import annotations

import json
import sysconfig
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quanta_tissu.errors import DataError
from quanta_tissu.tisslm.config import DataConfig
from quanta_tissu.tisslm.data import readers
from quanta_tissu.tisslm.data.readers import TextFile
from quanta_tissu.tisslm.data.sources import configured_source, open_source
from quanta_tissu.tisslm.tokenizers import BPETokenizer


def texts(source, seed=None) -> list[str]:
    return [document.text for document in source.documents(seed)]


def write_lines(path, *records) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


# -- a file -------------------------------------------------------------------------------------------------------


def test_a_file_is_one_document_with_its_line_ends_as_they_are(tmp_path):
    path = tmp_path / "poem.anything"
    path.write_bytes("Grüße\r\nvon\nhier\r".encode())
    (document,) = open_source(path).documents()
    assert document.text == "Grüße\r\nvon\nhier\r"
    assert document.name == str(path)
    assert document.complete


def test_a_byte_order_mark_is_not_text(tmp_path):
    (tmp_path / "bom.txt").write_bytes(b"\xef\xbb\xbfhello")
    assert texts(open_source(tmp_path / "bom.txt")) == ["hello"]
    (tmp_path / "bom.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "hello"}\n')
    assert texts(open_source(tmp_path / "bom.jsonl")) == ["hello"]


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"there is no file or folder '.*nothing\.txt'") as caught:
        open_source(tmp_path / "nothing.txt")
    assert "builtin:python" in caught.value.hint


def test_a_name_that_no_file_can_have_is_an_error():
    with pytest.raises(DataError, match="there is no file or folder"):
        open_source("x" * 5000)


def test_an_empty_file_is_an_error(tmp_path):
    (tmp_path / "empty.txt").touch()
    with pytest.raises(DataError, match=r"empty\.txt has no text: 1 file, all of them empty"):
        texts(open_source(tmp_path / "empty.txt"))


@pytest.mark.parametrize("name", ["gone.txt", "gone.jsonl"])
def test_a_file_that_disappears_is_an_error(tmp_path, name):
    path = tmp_path / name
    path.write_text('{"text": "here"}\n')
    source = open_source(path)
    path.unlink()
    with pytest.raises(DataError, match=r"cannot read .*gone\..*: No such file"):
        texts(source)


def test_invalid_utf8_is_named_with_its_file_byte_and_offset(tmp_path):
    (tmp_path / "latin.txt").write_bytes("Grüße".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.txt is not UTF-8 text: byte 0xfc at offset 2 ") as caught:
        texts(open_source(tmp_path / "latin.txt"))
    assert "iconv" in caught.value.hint


def test_the_offset_counts_from_the_beginning_of_the_file_even_in_a_later_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "PIECE_BYTES", 16)
    (tmp_path / "broken.txt").write_bytes(b"\xef\xbb\xbf" + b"some words " * 9 + b"\xff tail")
    with pytest.raises(DataError, match="byte 0xff at offset 102 "):
        texts(open_source(tmp_path / "broken.txt"))


def test_a_character_cut_off_at_the_end_is_an_error(tmp_path):
    (tmp_path / "cut.txt").write_bytes("wäre ä".encode()[:-1])
    with pytest.raises(DataError, match=r"byte 0xc3 at offset 6 \(unexpected end of data"):
        texts(open_source(tmp_path / "cut.txt"))


# -- pieces of a long file ----------------------------------------------------------------------------------------

words = st.text(st.sampled_from("ab'sé1!…  \n\n\t\u3000\u00a0"), max_size=80)


@given(text=words, size=st.integers(1, 12))
def test_a_long_file_comes_in_pieces_that_add_up(tmp_path_factory, text, size):
    path = tmp_path_factory.mktemp("long") / "long.txt"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "PIECE_BYTES", size)
        pieces = list(TextFile(path, "long").read(0))
    assert "".join(piece.text for piece in pieces) == text
    assert [piece.complete for piece in pieces] == ([False] * (len(pieces) - 1) + [True] if text else [])
    assert all(piece.text for piece in pieces)


@pytest.fixture(scope="module")
def bpe() -> BPETokenizer:
    tokenizer = BPETokenizer()
    tokenizer.train(["ab ab's  aab\n\nb1!… éa\u3000b\u00a0a \n ab\tab" * 20], 300)
    return tokenizer


@given(text=words, size=st.integers(1, 12))
def test_pieces_tokenize_like_the_whole(bpe, tmp_path_factory, text, size):
    path = tmp_path_factory.mktemp("long") / "long.txt"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "PIECE_BYTES", size)
        pieces = [piece.text for piece in TextFile(path, "long").read(0)]
    assert list(chain(*bpe.encode_batch(pieces))) == bpe.encode(text)


def test_long_files_are_really_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "PIECE_BYTES", 20)
    (tmp_path / "long.txt").write_text("word " * 100)
    assert len(texts(open_source(tmp_path / "long.txt"))) > 20


# -- a folder -----------------------------------------------------------------------------------------------------


def test_a_folder_gives_its_text_files_in_alphabetical_order(tmp_path):
    for name in ["b.txt", "a/z.md", "a/y.py", "c.TXT", ".hidden.txt", ".git/config.txt", "a/.x/deep.txt", "d.bin"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "binary.txt").write_bytes(b"\x00\x01text")
    (tmp_path / "empty.txt").touch()
    write_lines(tmp_path / "e.jsonl", {"text": "first line"}, {"text": "second line"})
    assert texts(open_source(tmp_path)) == ["a/y.py", "a/z.md", "b.txt", "c.TXT", "first line", "second line"]


def test_a_folder_without_text_is_an_error(tmp_path):
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match="has no text files") as caught:
        open_source(tmp_path)
    assert ".jsonl" in caught.value.hint


def test_a_folder_of_empty_files_is_an_error(tmp_path):
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.txt").touch()
    with pytest.raises(DataError, match="has no text: 2 files, all of them empty"):
        texts(open_source(tmp_path))


def test_an_invalid_file_in_a_folder_is_named_rather_than_left_out(tmp_path):
    (tmp_path / "good.txt").write_text("good")
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfeb\x20")
    with pytest.raises(DataError, match=r"bad\.txt is not UTF-8"):
        texts(open_source(tmp_path))


# -- JSONL --------------------------------------------------------------------------------------------------------


def test_every_line_of_jsonl_is_a_document(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"text": "one\\ntwo", "id": 1}\n\n  \n{"id": 2, "text": ""}\n{"text": "drei ☃"}')
    documents = list(open_source(path).documents())
    assert [document.text for document in documents] == ["one\ntwo", "drei ☃"]
    assert documents[0].name == f"{path} at byte 0"


def test_another_field_can_hold_the_text(tmp_path):
    path = write_lines(tmp_path / "data.ndjson", {"body": "here"})
    assert texts(open_source(path, text_field="body")) == ["here"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"text": "unfinished', r"line 3 is not JSON: .* \(column 21\)"),
        (b'["a list"]', r"line 3 is not a JSON object but '\[\"a list\"\]'"),
        (b'{"body": "x", "id": 1}', r"line 3 has no field 'text'; its fields are 'body', 'id'"),
        (b"{}", r"line 3 has no field 'text'; its fields are none"),
        (b'{"text": 17}', r"line 3 has 17 in its field 'text', which is not text"),
        (b'{"text": "\\ud83d"}', r"line 3 has a lone surrogate"),
        (b'{"text": ' + b"1" * 5000 + b"}", r"line 3 cannot be read as JSON: .* 5000 digits"),
        (b"[" * 100_000, r"line 3 cannot be read as JSON: maximum recursion depth"),
        (b'{"text": "\xe9"}', r"is not UTF-8 text: byte 0xe9 at offset 28 "),
    ],
)
def test_a_bad_line_of_jsonl_is_named(tmp_path, line, message):
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'{"text": "good"}\n\n' + line + b"\n")
    with pytest.raises(DataError, match=message) as caught:
        texts(open_source(path))
    assert caught.value.hint


# -- builtin:python -----------------------------------------------------------------------------------------------


def test_the_builtin_source_is_the_documentation_and_library_of_this_python():
    source = open_source("builtin:python")
    names = [reader.name for reader in source.readers if isinstance(reader, TextFile)]
    assert {"argparse.py", "json/decoder.py", "asyncio/events.py"} <= set(names)
    folders = {folder for name in names for folder in name.split("/")[:-1]}
    assert not folders & {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
    assert "pydoc_data/topics.py" not in names  # its text comes as documents of its own
    assert all(name.endswith(".py") for name in names)
    documents = source.documents()
    assert next(documents).name == "pydoc_data.topics['assert']"
    assert source.num_bytes > 5_000_000
    assert names == sorted(names, key=lambda name: name.split("/"))


def test_the_builtin_source_reads_to_its_end():
    bytes_read = sum(len(text.encode()) for text in texts(open_source("builtin:python")))
    assert bytes_read == open_source("builtin:python").num_bytes


def test_another_builtin_source_is_an_error():
    with pytest.raises(DataError, match="no built-in source 'builtin:ruby'"):
        open_source("builtin:ruby")


def test_a_python_without_its_library_on_disk_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / "python311.zip"))
    with pytest.raises(DataError, match=r"not a folder of source files .*python311\.zip"):
        open_source("builtin:python")


# -- order and size -----------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32))
def test_shuffling_is_a_permutation_that_the_seed_decides(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("documents")
    write_lines(folder / "a.jsonl", *({"text": f"a{i}"} for i in range(5)))
    write_lines(folder / "b.jsonl", *({"text": f"b{i}"} for i in range(5)))
    natural, shuffled = texts(open_source(folder)), texts(open_source(folder), seed)
    assert natural == [f"{name}{i}" for name in "ab" for i in range(5)]
    assert sorted(shuffled) == natural
    assert texts(open_source(folder), seed) == shuffled


def test_seeds_differ_and_documents_of_different_files_mix(tmp_path):
    write_lines(tmp_path / "a.jsonl", *({"text": f"a{i}"} for i in range(50)))
    write_lines(tmp_path / "b.jsonl", *({"text": f"b{i}"} for i in range(50)))
    first, second = texts(open_source(tmp_path), 1), texts(open_source(tmp_path), 2)
    assert first != second
    assert 10 < sum(text.startswith("a") for text in first[:50]) < 40


def test_shuffling_a_single_file_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "PIECE_BYTES", 16)
    (tmp_path / "one.txt").write_text("some words in a row, " * 20)
    assert texts(open_source(tmp_path / "one.txt"), 3) == texts(open_source(tmp_path / "one.txt"))


@given(limit=st.integers(1, 40))
def test_reading_stops_after_max_bytes_at_a_character(tmp_path_factory, limit):
    folder = tmp_path_factory.mktemp("limited")
    (folder / "a.txt").write_text("Grüße aus Köln, ", encoding="utf-8")
    (folder / "b.txt").write_text("日本語とにほん", encoding="utf-8")
    raw = "Grüße aus Köln, 日本語とにほん".encode()
    source = open_source(folder, max_bytes=limit)
    assert "".join(texts(source)) == raw[:limit].decode(errors="ignore")
    assert source.num_bytes == min(limit, len(raw))
    assert all(document.complete for document in source.documents())


def test_the_data_section_names_the_source(tmp_path):
    path = write_lines(tmp_path / "data.jsonl", {"body": "first"}, {"body": "second"})
    config = DataConfig(source=path, text_field="body", max_bytes=8)
    assert texts(configured_source(config)) == ["first", "sec"]
    with pytest.raises(DataError, match=r"data\.source is not set") as caught:
        configured_source(DataConfig())
    assert "--data" in caught.value.hint
