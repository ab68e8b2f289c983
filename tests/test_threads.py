"""Pools of threads that end with an error or Ctrl-C."""

import threading

import pytest

from rfbench.threads import threads


@pytest.mark.parametrize("ending", [KeyboardInterrupt, ValueError])
def test_after_an_error_nothing_more_begins(ending):
    begun, wait = [], threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        wait.wait(60)

    with pytest.raises(ending), threads(2) as pool:  # noqa: PT012 (the pool's end is what is tested)
        results = pool.map(work, range(100))
        while len(begun) < 2:
            pass
        threading.Timer(0.2, wait.set).start()
        raise ending
    assert begun == [0, 1]
    del results  # it would have cancelled them itself, had it been dropped earlier


def test_without_one_all_is_done():
    with threads(3) as pool:
        squares = pool.map(lambda number: number**2, range(50))
    assert list(squares) == [number**2 for number in range(50)]
