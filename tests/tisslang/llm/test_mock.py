"""The mock: answers from a file, by turn or by pattern."""

from __future__ import annotations

import json
import sys
import threading
import time

import pytest

from quanta_tissu.errors import ModelCancelledError, ModelError
from quanta_tissu.tisslang.llm.mock import MockModel


@pytest.fixture
def mock(tmp_path):
    def make(text, name="answers.yaml"):
        (tmp_path / name).write_text(text)
        return MockModel.load(tmp_path / name)

    return make


@pytest.fixture
def hasty():
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_answers_are_given_in_their_order_until_they_run_out(mock, ask_for):
    model = mock("- first answer\n- second\n")
    reply = model.generate(ask_for("two words"))
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("first answer", 2, 2)
    assert (reply.finish, reply.model, reply.cost) == ("stop", "mock:answers.yaml", 0)
    assert model.generate(ask_for()).text == "second"
    with pytest.raises(ModelError, match=r"no answer left for question 3: .*What is a tuple"):
        model.generate(ask_for())


def test_patterns_come_first_and_a_single_answer_is_given_again(mock, ask_for):
    model = mock("- by turn\n- when: '(?i)COLOU?R'\n  answer: blue\n- when: number\n  answer: ['1', '2']\n")
    said = [model.generate(ask_for(text)).text for text in ("a color", "a number", "a colour", "a number", "else")]
    assert said == ["blue", "1", "blue", "2", "by turn"]
    with pytest.raises(ModelError, match="what fits entry 3 is used up"):
        model.generate(ask_for("a number"))


def test_a_pattern_sees_the_whole_prompt_as_its_template_writes_it(mock, ask_for):
    model = mock("- when: '<.im_start.>user\\nhello'\n  answer: chatml\n- plain\n")
    assert model.generate(ask_for("hello")).text == "plain"
    assert model.generate(ask_for("hello", template="chatml")).text == "chatml"


def test_values_failures_and_delays(mock, ask_for):
    model = mock(
        "- json: {name: Ada, tags: [a]}\n- fails: the server is on fire\n- {answer: late, seconds: 0.01}\n"
    )
    assert json.loads(model.generate(ask_for()).text) == {"name": "Ada", "tags": ["a"]}
    with pytest.raises(ModelError, match="the server is on fire"):
        model.generate(ask_for())
    assert model.generate(ask_for()).text == "late"


def test_json_is_read_too(mock, ask_for):
    assert mock('["a", {"when": "x", "answer": "b"}]', "answers.json").generate(ask_for("x")).text == "b"


def test_the_answer_streams_and_is_cut_where_it_was_asked_to(mock, ask_for):
    model = mock("- one two  three\n- one two three\n- one two\n- ''\n")
    pieces = []
    assert model.generate(ask_for(), pieces.append).text == "one two  three" == "".join(pieces)
    assert len(pieces) == 3
    assert model.generate(ask_for(stop=(" th",))).text == "one two"
    reply = model.generate(ask_for(max_tokens=1))
    assert (reply.text, reply.finish, reply.completion_tokens) == ("one ", "length", 1)
    assert model.generate(ask_for()).text == ""


def test_an_answer_that_takes_its_time_can_be_given_up(mock, ask_for):
    model = mock("- {answer: late, seconds: 60}\n- soon\n")
    cancelled = threading.Event()
    threading.Timer(0.05, cancelled.set).start()
    with pytest.raises(ModelCancelledError) as error:
        model.generate(ask_for("a b c"), cancelled=cancelled)
    assert error.value.prompt_tokens == 3
    with pytest.raises(ModelCancelledError):
        model.generate(ask_for(), cancelled=cancelled)


def test_threads_never_get_the_same_answer(mock, ask_for, hasty):
    model = mock(json.dumps([str(n) for n in range(200)]))
    said = []
    threads = [threading.Thread(target=lambda: said.extend(model.generate(ask_for()).text for _ in range(50)))
               for _ in range(4)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, said)) == list(range(200))


def test_an_event_that_only_says_that_a_time_is_over_ends_it_too(mock, ask_for):
    class Over(threading.Event):
        def is_set(self):
            return time.monotonic() > end

    end = time.monotonic() + 0.1
    with pytest.raises(ModelCancelledError):
        mock("- {answer: late, seconds: 60}\n").generate(ask_for(), cancelled=Over())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b", "no list of answers"),
        ("- 3", "entry 1 of .* is not understood: int"),
        ("- {when: x, anser: y}", "not understood: anser"),
        ("- {when: x}", "exactly one of answer, json and fails"),
        ("- {answer: x, fails: y}", "exactly one of"),
        ("- {when: '(', answer: x}", "the pattern of entry 1"),
        ("- {answer: []}", "what is no text"),
        ("- {answer: 5}", "what is no text"),
        ("- {answer: a, seconds: -1}", "takes -1 seconds"),
        ("- {answer: a, seconds: soon}", "takes 'soon' seconds"),
        ("- [", "not valid YAML"),
    ],
)
def test_a_file_that_is_none_is_refused(mock, text, message):
    with pytest.raises(ModelError, match=message):
        mock(text)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"cannot read the answers of a mock from .*none\.yaml"):
        MockModel.load(tmp_path / "none.yaml")
    (tmp_path / "x").write_bytes(b"\xff")
    with pytest.raises(ModelError, match="not UTF-8"):
        MockModel.load(tmp_path / "x")
