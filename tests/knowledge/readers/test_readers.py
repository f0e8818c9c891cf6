"""Readers: the structure of a file becomes blocks with headings and places."""

from __future__ import annotations

import types
from pathlib import Path

import pytest

from quanta_tissu.errors import DataError, MissingDependencyError
from quanta_tissu.knowledge import readers
from quanta_tissu.knowledge.readers import read_file
from quanta_tissu.knowledge.readers.html import read_html
from quanta_tissu.knowledge.readers.markdown import read_markdown
from quanta_tissu.knowledge.readers.python import read_python


def short(blocks):
    return [(block.headings, block.text, block.first, block.last) for block in blocks]


def test_markdown_has_headings_above_its_paragraphs():
    text = """---
title: left out as a paragraph of its own
---
before

# One
first

## Two ##
second
goes on

Three
=====
third

Four
----
- a
- b
"""
    assert short(read_markdown(text))[-4:] == [
        (("One",), "first", 7, 7),
        (("One", "Two"), "second\ngoes on", 10, 11),
        (("Three",), "third", 15, 15),
        (("Three", "Four"), "- a\n- b", 19, 20),
    ]


def test_fenced_code_is_one_block_and_has_no_headings_in_it():
    text = "# T\n\n```python\n# no heading\n\nx = 1\n```\nafter\n~~~\nopen"
    assert short(read_markdown(text)) == [
        (("T",), "```python\n# no heading\n\nx = 1\n```", 3, 7),
        (("T",), "after", 8, 8),
        (("T",), "~~~\nopen", 9, 10),
    ]


def test_html_is_what_a_page_shows():
    text = """<html><head><title>no</title><style>p {}</style></head>
<body><nav><p>menu</p></nav>
<h1>One<a href="#one">¶</a></h1>
<p>A  <b>bold</b>
   word &amp; more</p><script>x = "<p>"</script>
<ul><li>first<li>second</ul>
<h2>Two</h2><pre>
def f():
    return 1<br>pass
</pre>
<footer>no</footer></body></html>"""
    assert short(read_html(text)) == [
        (("One",), "A bold word & more", 4, 5),
        (("One",), "first", 6, 6),
        (("One",), "second", 6, 6),
        (("One", "Two"), "def f():\n    return 1\npass", 8, 9),
    ]


def test_broken_html_is_read_as_far_as_it_goes():
    assert [block.text for block in read_html("<p>a<b>b</p><nav>menu</body> tail")] == ["ab", "tail"]


def test_python_has_a_block_for_each_function_and_the_head_of_each_class():
    text = '''"""Module."""
import os

X = 1

@cached
def f(a):
    """Doc."""

    return a

class C(Base):
    """A class."""

    field: int

    async def m(self):
        pass

    class D:
        y = 2

print(f(1))
'''
    assert short(read_python(text)) == [
        ((), '"""Module."""\nimport os', 1, 2),
        ((), "X = 1", 4, 4),
        (("def f",), '@cached\ndef f(a):\n    """Doc."""\n\n    return a', 6, 10),
        (("class C",), 'class C(Base):\n    """A class."""', 12, 13),
        (("class C",), "    field: int", 15, 15),
        (("class C", "async def m"), "    async def m(self):\n        pass", 17, 18),
        (("class C", "class D"), "    class D:\n        y = 2", 20, 21),
        ((), "print(f(1))", 23, 23),
    ]


def test_what_is_not_python_is_read_as_text():
    assert short(read_python("def f(:\n\nx")) == [((), "def f(:", 1, 1), ((), "x", 3, 3)]


def test_files_are_read_by_their_names():
    assert read_file(Path("a.md"), b"# T\nx").blocks[0].headings == ("T",)
    assert read_file(Path("a.HTM"), b"<h1>T</h1><p>x").blocks[0].headings == ("T",)
    assert read_file(Path("a.py"), b"def f(): pass").blocks[0].headings == ("def f",)
    assert read_file(Path("LICENSE"), "\ufeff# T".encode()).blocks[0].text == "# T"


def test_what_is_not_text_is_refused(monkeypatch):
    with pytest.raises(DataError, match="byte 0xff at position 1"):
        read_file(Path("a.txt"), b"a\xff")
    with pytest.raises(DataError, match="zero byte"):
        read_file(Path("a.txt"), b"a\0b")
    monkeypatch.setattr(readers, "LARGEST", 3)
    with pytest.raises(DataError, match="4 bytes"):
        read_file(Path("a.txt"), b"four")


def pdf(*pages):
    """A PDF with a line of text on each page, written by hand."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for text in pages:
        stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET"
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        resources = "<< /Font << /F1 3 0 R >> >>"
        size = "/MediaBox [0 0 612 792]"
        page = f"<< /Type /Page /Parent 2 0 R {size} /Resources {resources} /Contents {len(objects)} 0 R >>"
        objects.append(page)
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    data, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n".encode()
    start = len(data)
    data += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    data += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    return data + trailer.encode()


def test_a_pdf_has_a_block_for_each_page_with_text(pypdf):
    contents = read_file(Path("a.pdf"), pdf("first page", "", "third page"))
    assert contents.unit == "page"
    assert short(contents.blocks) == [((), "first page", 1, 1), ((), "third page", 3, 3)]


def test_a_pdf_that_cannot_be_read_is_refused(pypdf):
    with pytest.raises(DataError, match=r"cannot read the PDF a\.pdf"):
        read_file(Path("a.pdf"), b"%PDF-1.4 and nothing else")
    with pytest.raises(DataError, match="has no text"):
        read_file(Path("a.pdf"), pdf(""))


def test_without_pypdf_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(
        readers.pdf, "importlib", types.SimpleNamespace(util=types.SimpleNamespace(find_spec=lambda name: None))
    )
    with pytest.raises(MissingDependencyError) as refusal:
        read_file(Path("a.pdf"), b"")
    assert "quanta-tissu[pdf]" in refusal.value.hint
