"""A progress bar on stderr where someone watches, and a few lines where nobody does."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def follow(steps: Iterable[T], total: int, verb: str, enabled: bool) -> Iterator[T]:
    """Yield `steps` while reporting how many of `total` are done: a bar on a terminal, else every quarter."""
    if not enabled:
        yield from steps
    elif sys.stderr.isatty():
        yield from track(steps, f"{verb} …", total=total, console=Console(stderr=True))
    else:
        marks = {-(-total * quarter // 4) for quarter in (1, 2, 3, 4)}
        for done, step in enumerate(steps, start=1):
            if done in marks:
                print(f"{verb}: {done} of {total} images", file=sys.stderr, flush=True)
            yield step
