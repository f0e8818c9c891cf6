"""The reading tour tells the truth: every example in it runs and prints what the page says."""

import doctest
import re
from pathlib import Path

TOUR = Path(__file__).parents[1] / "docs" / "tour.md"
PACKAGE = Path(__file__).parents[1] / "quanta_tissu" / "tisslm"


def test_every_example_prints_what_the_page_says():
    text = TOUR.read_text(encoding="utf-8")
    examples = "\n".join(re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))
    test = doctest.DocTestParser().get_doctest(examples, {}, "tour", str(TOUR), 0)
    assert len(test.examples) > 30
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
    results = runner.run(test, out=report.append)
    assert results.failed == 0, "".join(report)


def test_every_file_it_names_exists():
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)`", TOUR.read_text(encoding="utf-8")))
    assert len(named) > 15
    assert [name for name in sorted(named) if not (PACKAGE / name).is_file()] == []
