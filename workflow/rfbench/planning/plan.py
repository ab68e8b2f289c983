"""`rfbench plan`: what a configuration will cost on this machine, estimated before anything starts."""

from rfbench.planning.detect import detection
from rfbench.planning.estimate import bounds, stages
from rfbench.planning.sample import measure
from rfbench.settings import Settings


def plan(settings: Settings, jobs: int, detect: float | None = None) -> dict:
    """The plan of a configuration: `stages` and `bounds` (see there), `measured`, runs by state, jobs at a time.

    Args:
        settings: a configuration.
        jobs: runs at the same time.
        detect: a difference in points, of which `detect` (`planning.detect.detection`) then tells the price.
    """
    measured = measure(settings)
    rows = stages(settings, measured, jobs)
    train, evaluate = (next(row for row in rows if row["stage"] == stage) for stage in ("train", "evaluate"))
    return {
        "jobs": jobs,
        "runs": {
            "done": evaluate["jobs"] - evaluate["to_do"],
            "trained": evaluate["to_do"] - train["to_do"],
            "missing": train["to_do"],
        },
        "stages": rows,
        "bounds": bounds(settings, measured),
        "measured": measured,
        **({} if detect is None else {"points": detect, "detect": detection(settings, measured, detect)}),
    }
