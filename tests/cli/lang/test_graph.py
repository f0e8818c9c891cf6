from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from quanta_tissu.cli.app import run as tissu

SCRIPT = """TASK "Publish <now> & \\"then\\"" {
    SETUP { MKDIR "out" }
    PARALLEL {
        STEP "Left" { RUN "make \\"left\\"" }
        STEP "Right" { PROMPT_AGENT "a colour" INTO colour }
    }
    RETRY MAX 3 { RUN "test" } FIX_WITH PROMPT_AGENT "mend {{failure}}"
    CHOOSE "Is it <good>?" {
        OPTION "Yes" { WRITE "yes.txt" "yes" }
        OPTION "No" { PAUSE }
    }
    IF FILE "x" EXISTS { LOG 1 } ELSE IF FILE "y" EXISTS { DELETE "y" }
    FOR name IN ["a"] { READ name AS text }
    TRY { QUERY_DB "SELECT a FROM b" INTO rows } CATCH { APPEND "log" "no" } FINALLY { DELETE "tmp" }
    CALL "again"(1)
}
DEFINE_TASK "again"(n) {
    STEP "On a copy" {
        @sandbox txn
        WRITE "n" n
    }
    IF n == 2 { CALL "again"(n) }
}
"""


@pytest.fixture
def drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.tiss").write_text(SCRIPT)

    def draw(form):
        assert tissu(["lang", "graph", "plan.tiss", "--format", form]) == 0
        return capsys.readouterr().out

    return draw


def test_a_picture_has_steps_ways_models_and_people(drawn):
    svg = drawn("svg")
    tree = ElementTree.fromstring(svg)
    texts = [one.text for one in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == 'Publish <now> & "then"'
    for one in (
        "Setup",
        "Left",
        "Right",
        "MODEL",
        "PERSON",
        "PARALLEL",
        "On a copy (on a copy)",
        "“again” again",
    ):
        assert one in texts
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


CALLING = """TASK "Release" {
    STEP "Prepare" {
        @sandbox txn
        RUN "fetch"
        CALL "check"("docs")
        IF FILE "x" EXISTS { CALL "check"("code") }
        WRITE "done" "yes"
    }
    STEP "Plain" { WRITE "plain" "yes" }
}
DEFINE_TASK "check"(what) {
    STEP "Test" { RUN "make {{what}}" }
    IF what == "all" { STEP "More" { CALL "check"(what) } }
}
"""


def test_a_step_that_calls_a_task_is_a_frame_with_the_steps_of_the_task_where_it_is_called(drawn, tmp_path):
    (tmp_path / "plan.tiss").write_text(CALLING)
    tree = ElementTree.fromstring(drawn("svg"))
    names = "{http://www.w3.org/2000/svg}"
    texts = [one.text for one in tree.iter(f"{names}text")]
    inside = ["Prepare (on a copy)", "fetch", 'check("docs")', "Test", 'check("code")', "Test", "done", "Plain"]
    places = [texts.index(inside[0])]
    for one in inside[1:]:
        places.append(texts.index(one, places[-1] + 1))
    assert texts.count("“check” again") == 2  # it ends, although the task calls itself
    frames = [one for one in tree.iter(f"{names}rect") if "step copy" in one.get("class")]
    top, height = float(frames[0].get("y")), float(frames[0].get("height"))
    at = {one.text: float(one.get("y")) for one in tree.iter(f"{names}text")}
    assert len(frames) == 1
    assert all(top < at[one] < top + height for one in ("fetch", 'check("docs")', 'check("code")'))
    assert at["Plain"] > top + height


@pytest.mark.parametrize("form", ["mermaid", "dot"])
def test_a_called_task_lies_inside_the_step_in_text_too(drawn, tmp_path, form):
    (tmp_path / "plan.tiss").write_text(CALLING)
    lines = [line.strip() for line in drawn(form).splitlines()]
    opening, closing = {"mermaid": ("subgraph", "end"), "dot": ("subgraph", "}")}[form]
    step = next(n for n, line in enumerate(lines) if "Prepare (on a copy)" in line)
    depth, tasks = 1, 0
    for line in lines[step + 1 :]:
        depth += line.startswith(opening) - (line == closing)
        tasks += line.startswith(opening) and "task check" in line
        if depth == 0:
            break
    assert tasks == 2


def test_branches_stand_side_by_side_and_inside_the_picture(drawn):
    tree = ElementTree.fromstring(drawn("svg"))
    width, height = float(tree.get("width")), float(tree.get("height"))
    rects = [
        tuple(float(one.get(name, "0")) for name in ("x", "y", "width", "height"))
        for one in tree.iter("{http://www.w3.org/2000/svg}rect")
    ]
    assert all(x >= 0 and y >= 0 and x + w <= width + 1 and y + h <= height + 1 for x, y, w, h in rects)
    at = {
        one.text: (float(one.get("x")), float(one.get("y")))
        for one in tree.iter("{http://www.w3.org/2000/svg}text")
    }
    assert at["Left"][1] == at["Right"][1]
    assert at["Left"][0] < at["Right"][0]
    assert at["Setup"][1] < at["Left"][1]


def test_mermaid_has_an_edge_for_each_way(drawn):
    text = drawn("mermaid")
    assert text.startswith("flowchart TD\n")
    lines = [line.split()[0] for line in text.splitlines()]
    assert lines.count("subgraph") == lines.count("end") > 4
    assert '|"“Yes”"|' in text
    nodes = {line.split("[")[0].split("(")[0].strip() for line in text.splitlines() if "[" in line}
    for line in text.splitlines():
        if "-->" in line:
            left, right = line.split("-->")
            assert left.strip() in nodes
            assert right.split("|")[-1].strip() in nodes | {"finish"}


def test_dot_is_balanced_and_quoted(drawn):
    text = drawn("dot")
    assert text.startswith("digraph script {\n")
    assert text.rstrip().endswith("}")
    assert 'label="Publish <now> & \\"then\\""' in text
    assert "n1 -> " in text


def test_a_picture_goes_to_a_file(drawn, tmp_path):
    assert tissu(["lang", "graph", "plan.tiss", "-o", "plan.svg"]) == 0
    assert (tmp_path / "plan.svg").read_text() == drawn("svg")


def test_a_picture_replaces_nothing_but_pictures(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.tiss").write_text(SCRIPT)
    assert tissu(["lang", "graph", "plan.tiss", "-o", "plan.tiss"]) == 1
    assert "plan.tiss exists and is something else" in capsys.readouterr().err
    assert (tmp_path / "plan.tiss").read_text() == SCRIPT
    for form in ("svg", "mermaid", "dot", "svg"):
        assert tissu(["lang", "graph", "plan.tiss", "--format", form, "-o", "picture"]) == 0
    assert (tmp_path / "picture").read_text().startswith("<svg ")
