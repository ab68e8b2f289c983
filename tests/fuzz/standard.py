"""What every input is held to: success, or one clear error; no hang, bounded memory, nothing written outside.

Anything else that is raised is a traceback to a user, and fails the test by itself.
"""

import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from hypothesis import strategies as st

from rfbench.errors import RFBenchError

PATIENCE = 30  # seconds of computing for what takes one
WAITING = 600  # seconds on the clock: a busy machine may take some, a named pipe takes all
MEMORY = 1 << 20  # KiB of growth: the largest image allowed takes half of it
LONGEST = 2000  # characters of a line of an error

T = TypeVar("T")


def held(call: Callable[[], T]) -> T | RFBenchError:
    """The result of a call, or the error that it raised for the user, held to the standard."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with _patience():
        try:
            result = call()
        except RFBenchError as error:
            result = error
            check_message(str(error))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < MEMORY, f"{grown >> 10} MiB"
    return result


def check_message(message: str) -> None:
    """Lines that a terminal shows and does not obey, none endless, the first with something in it."""
    lines = message.split("\n")
    assert lines[0].strip()
    for line in lines:
        assert line.isprintable(), repr(line)
        assert len(line) < LONGEST
    assert "Traceback" not in message


def everything_below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes; a link with what it points to."""
    return {
        str(path.relative_to(folder)): bytes(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@contextmanager
def _patience() -> Iterator[None]:
    def give_up(*_):
        raise AssertionError(f"not done within {PATIENCE} s of computing, or {WAITING} s")

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, PATIENCE), signal.SIGALRM: (signal.ITIMER_REAL, WAITING)}
    earlier = {number: signal.signal(number, give_up) for number in timers}
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, earlier[number])


NAMES = st.one_of(
    st.sampled_from(
        ["../../x", "/etc/passwd", "/../../x", "a\x1b[2J\n", "", ".", "..", "CON", "a" * 300, "\u202egpj.exe",
         "e\u0301", "\xe9", "-rf", "a\\b", "SYN_1", "%2e%2e%2fx", "a\x00b", "~", "$(touch x)", "{wildcard}", "\ufeff",
         "眼" * 90]
    ),
    st.text(max_size=12),
)  # fmt: skip
"""Names of files, columns, keys: hostile ones, and any."""


def damaged(content: st.SearchStrategy[bytes] | bytes) -> st.SearchStrategy[bytes]:
    """Bytes with a few changes: some overwritten, cut out, put in, doubled, or the end lost."""
    sound = st.just(content) if isinstance(content, bytes) else content
    return st.builds(_apply, sound, st.lists(_CHANGES, min_size=1, max_size=6))


_EDGES = st.sampled_from([b"\x00", b"\xff", b"\x7f\xff\xff\xff", b"\xff" * 8, b"\x00" * 4, b"\x01", b"\x80"])
_CHANGES = st.tuples(
    st.sampled_from(["overwrite", "cut", "insert", "double", "end"]),
    st.floats(0, 1, exclude_max=True),
    st.one_of(_EDGES, st.binary(min_size=1, max_size=8)),
)


def _apply(content: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    for kind, place, data in changes:
        at = int(place * len(content))
        match kind:
            case "overwrite":
                content = content[:at] + data + content[at + len(data) :]
            case "cut":
                content = content[:at] + content[at + len(data) :]
            case "insert":
                content = content[:at] + data + content[at:]
            case "double":
                content = content[:at] + content[at : at + 64 * len(data)] + content[at:]
            case "end":
                content = content[:at]
    return content


PLAIN = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(10**40), 10**40), st.floats(), NAMES, st.binary(max_size=4),
        st.sampled_from([0, -5, 64, 10**6, 1 << 14, 0.0, 1e-320, 1e300, float("nan"), float("inf"), "EX", "m2mrf_c"]),
    ),
    lambda children: st.one_of(
        st.lists(children, max_size=4), st.dictionaries(NAMES, children, max_size=3), st.tuples(children, children)
    ),
    max_leaves=8,
)  # fmt: skip
"""Values that a pickle of plain objects may hold."""
