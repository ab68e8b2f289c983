"""Imports that take seconds."""

import contextlib
import gc
import signal
import sys
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Collect no garbage among what imports make, now or later: it stays, and searching it takes 30 % of a start.

    Ctrl-C waits for their end: within torch's own start, it would abort the process. A second one does not wait.
    """
    before = len(sys.modules)
    gc.disable()
    try:
        with _uninterrupted():
            yield
    finally:
        if len(sys.modules) > before:  # in tests, what is garbage later must not be kept
            gc.freeze()
        gc.enable()


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread() or (
        signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    pressed = []

    def remember(*_: object) -> None:
        pressed.append(True)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if pressed:
        raise KeyboardInterrupt
