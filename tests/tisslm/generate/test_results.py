"""What generation gives back."""

import pytest

from quanta_tissu.errors import GenerationError
from quanta_tissu.tisslm.generate import Completion, GenerationResult


def completion(text: str) -> Completion:
    return Completion("prompt", text, [1, 2, 3], "length", seed=1, sample=0, logprobs=[])


def test_one_completion_is_read_directly():
    result = GenerationResult([completion("one")], seconds=2.0)
    assert (result.text, result.tokens, result.finish_reason, result.logprobs) == ("one", [1, 2, 3], "length", [])
    assert result.tokens_per_second == 1.5


def test_several_completions_are_a_sequence():
    result = GenerationResult([completion("one"), completion("two")], seconds=0.5)
    assert len(result) == 2
    assert [c.text for c in result] == ["one", "two"]
    assert result[1].text == "two"
    assert result.tokens_per_second == 12


def test_reading_one_of_several_is_an_error_that_says_how_to():
    with pytest.raises(GenerationError, match="there are 2 completions") as error:
        GenerationResult([completion("one"), completion("two")], seconds=1.0).text  # noqa: B018
    assert "result[0].text" in error.value.hint
