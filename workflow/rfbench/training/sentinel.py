"""A process beside a training with a time limit, which ends it where no thread of its own can.

A call into C code that never returns and never lets another thread run (the GIL) stops the watchdog's thread, too.
`python -m rfbench.training.sentinel` learns from its standard input how many updates are done, and that the training
has ended: then nobody holds the other end.
"""

import os
import select
import signal
import sys
import time
from pathlib import Path

from rfbench import provenance


def watch(process: int, seconds: float, work: Path, reason: str) -> None:
    """Kill a training that lives for so many seconds more, and leave the reason in its work folder.

    Args:
        process: the training, this one's parent.
        seconds: from now on.
        work: its work folder.
        reason: with `{done}` for the number of updates.
    """
    until, heard = time.monotonic() + seconds, b""
    while (left := until - time.monotonic()) > 0:
        if not select.select([sys.stdin], [], [], left)[0]:
            continue
        read = os.read(sys.stdin.fileno(), 65536)
        if not read:
            return
        heard = (heard + read)[-64:]
    if os.getppid() != process:
        return
    os.kill(process, signal.SIGKILL)
    told = reason.replace("{done}", (heard.split() or [b"0"])[-1].decode())
    print(told, file=sys.stderr, flush=True)
    provenance.write_json(work / "error.json", {"reason": told})


if __name__ == "__main__":
    watch(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
