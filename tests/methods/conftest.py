"""The method `tiny`, for the tests of this folder alone."""

from pathlib import Path

import pytest

from rfbench import methods

TINY = Path(__file__).parent / "tiny.py"


@pytest.fixture
def tiny():
    """Its name; it is registered until the test ends."""
    yield methods.load_file(TINY)
    methods._loaded.clear()
    methods._forget()
