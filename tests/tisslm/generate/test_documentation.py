"""The example in docs/generation.md runs, and does what it says."""

import re
from itertools import pairwise
from pathlib import Path

from quanta_tissu.tisslm import LanguageModel

PAGE = Path(__file__).parents[3] / "docs" / "generation.md"


def test_the_example_of_a_processor_runs(decoder, tokenizer, capsys):
    [example] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names = {"model": LanguageModel(decoder, tokenizer)}
    exec(example, names)
    result = names["result"]
    assert capsys.readouterr().out == f"{result.text}\n"
    assert all(left != right for left, right in pairwise(result.tokens))
