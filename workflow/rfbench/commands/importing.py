"""Imports that take seconds."""

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Collect no garbage among what imports make, now or later: it stays, and searching it takes 30 % of a start."""
    before = len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > before:  # in tests, what is garbage later must not be kept
            gc.freeze()
        gc.enable()
