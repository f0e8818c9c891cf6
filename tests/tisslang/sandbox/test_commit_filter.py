"""What a step did and may not be taken over."""

from __future__ import annotations

import os

import pytest

from quanta_tissu.errors import CommitRefusedError
from quanta_tissu.tisslang.sandbox.commit_filter import Room, destination
from quanta_tissu.tisslang.sandbox.manifest import State
from quanta_tissu.tisslang.sandbox.transaction import Transaction


def refusal(step):
    with pytest.raises(CommitRefusedError) as caught:
        step.commit()
    return str(caught.value)


def test_every_reason_is_named_and_the_project_stays(step, root):
    (step.root / "README").write_text("new")
    (step.root / ".git" / "hooks" / "post-commit").write_text("evil")
    (step.root / ".git" / "config").write_text("evil")
    (step.root / "out").symlink_to("/etc/passwd")
    os.mkfifo(step.root / "pipe")
    said = refusal(step)
    for path in (".git/hooks/post-commit", ".git/config", "out", "pipe"):
        assert f'"{path}"' in said
    assert (root / "README").read_text() == "readme"
    step.discard()


def test_after_a_refusal_the_step_can_be_mended_and_committed(step, root):
    (step.root / "README").write_text("new")
    os.mkfifo(step.root / "pipe")
    refusal(step)
    (step.root / "pipe").unlink()
    step.commit()
    assert (root / "README").read_text() == "new"


def test_many_reasons_are_counted(step):
    for number in range(30):
        (step.root / ".git" / "hooks" / f"hook{number}").write_text("evil")
    assert "and 10 more" in refusal(step)


def test_too_many_changes_are_refused(root, scratch):
    with Transaction.begin(root, scratch, room=Room(count=10, size=100)) as step:
        (step.root / "big").write_bytes(b"x" * 101)
        assert "101 bytes, and at most 100" in refusal(step)
        (step.root / "big").unlink()
        for number in range(11):
            (step.root / str(number)).touch()
        assert "11 files, folders and links, and at most 10" in refusal(step)


def test_a_name_that_is_no_text_is_refused(step):
    with open(os.fsencode(step.root) + b"/\xff", "wb"):
        pass
    assert '"\\udcff" has a name that is not text' in refusal(step)


def test_a_link_in_a_circle_is_refused(step):
    (step.root / "one").symlink_to("two")
    (step.root / "two").symlink_to("one")
    assert '"one" is a link that leads outside the project, or in a circle: "two"' in refusal(step)


@pytest.mark.parametrize(
    ("links", "leads"),
    [
        ({"l": "a"}, ("a",)),
        ({"l": "d/../a"}, ("a",)),
        ({"l": "../a"}, None),
        ({"l": "/etc"}, None),
        ({"l": "missing/../../a"}, None),
        ({"l": "m", "m": "n", "n": "d/x"}, ("d", "x")),
        ({"l": "m", "m": "l"}, None),
        ({"l": "up/x", "up": ".."}, None),
        ({"l": "deep/../x", "deep": "d/e/f"}, ("d", "e", "x")),
        ({"d/l": "../../x"}, None),
        ({"d/l": "../x"}, ("x",)),
        ({"l": "./"}, ()),
    ],
)
def test_where_a_link_leads_is_found_as_the_kernel_finds_it(links, leads, tmp_path):
    states = {path: State(f"symlink:{target}", 0) for path, target in links.items()}
    path = next(iter(links))
    assert destination(path, states) == leads
