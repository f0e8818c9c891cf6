"""How a loss compares with the floors, which counting alone reaches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


def verdicts(loss: float, floors: Mapping[str, float]) -> Iterator[str]:
    """A heading, and a line for every floor that says whether it is beaten.

    Args:
        loss: The model's, in nats per token.
        floors: Theirs, by name.
    """
    yield "floors, in nats per token"
    for name, floor in floors.items():
        verdict = "beaten by" if loss < floor else "missed by"
        yield f"  {name:<14}  {floor:.4f}, {verdict} {abs(floor - loss):.4f}"
