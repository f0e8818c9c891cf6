"""What the tests of ops share."""

from __future__ import annotations

import pytest

from quanta_tissu.tisslm import engine


@pytest.fixture(params=["reference", "fast"])
def each_engine(request):
    """Run a test on both engines."""
    with engine.use(request.param):
        yield request.param
