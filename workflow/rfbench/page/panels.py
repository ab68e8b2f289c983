"""The panels: one HTML file of examples with their photographs, for local use. Not a part of the report.

Every competitor of a case is shown in the same crop, and all of them are moved and zoomed together. Outlines are
vectors over one photograph a case, so that a page of all competitors stays small.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from rfbench import provenance
from rfbench.errors import RFBenchError
from rfbench.names import OUTLINE_COLOURS, lesion_colour
from rfbench.page.render import TEMPLATES, environment
from rfbench.page.strips import Strips, by_lesion
from rfbench.report import examples
from rfbench.report.lesions import SIZE_NAMES
from rfbench.report.panels import Case, Panels, Seen, shrunk

MOST_BYTES = 3_000_000
PHOTOGRAPH = 320  # px of a photograph's side, at most
QUALITY = 80  # of its JPEG
# What is left of a page that would be too large, in turn: regions of a stratum, percentiles, and the units of a view's
# side, which outlines are rounded to (networks that have learned nothing draw long ones).
PARTS = (
    (3, (0, 25, 50, 75, 100), 512),
    (2, (0, 25, 50, 75, 100), 512),
    (1, (0, 25, 50, 75, 100), 512),
    (1, (0, 50, 100), 512),
    (1, (0, 50, 100), 128),
)


@dataclass(frozen=True)
class View:
    """A crop as it is drawn: title, what it shows in words, a note below, (lesion, kind, path); or why it is none."""

    title: str
    words: str
    note: str = ""
    paths: tuple[tuple[str, str, str], ...] = ()
    box: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Shown:
    """A case as it is drawn: its name, caption, photograph (base64 of a JPEG, or empty), side, box, views."""

    name: str
    heading: str
    caption: str
    photograph: str
    side: float
    box: tuple[float, float, float, float]
    views: tuple[View, ...]


@dataclass(frozen=True)
class Set:
    """The cases of a data set, by set and lesion, and its strip plots."""

    panels: Panels
    blind: dict[str, list[Shown]]
    contrast: dict[str, list[Shown]]
    strips: dict[str, Strips]


def render(gathered: Sequence[Panels], digest: str, listed: str = examples.NAME) -> str:
    """The panels' HTML.

    Args:
        gathered: of each data set.
        digest: SHA-256 of the list of examples.
        listed: the list's file, as the page names it.

    Raises:
        RFBenchError: even the smallest part of the examples makes a page above MOST_BYTES.
    """
    colours = {lesion: colour(lesion, one.lesions) for one in gathered for lesion in one.lesions}
    size, units, drawn = 0, 0, {}
    for regions, percentiles, finest in PARTS:
        if finest != units:
            units = finest
            drawn = {(one.name, case.example.name): shown(case, one, units) for one in gathered for case in one.cases}
        sets = [_set(one, drawn, part_of(regions, percentiles)) for one in gathered]
        left = sum(len(cases) for one in sets for part in (one.blind, one.contrast) for cases in part.values())
        text = environment().get_template("panels.html.j2").render(
            sets=sets, digest=digest, listed=listed, rule=examples.RULE, colours=colours, sizes=SIZE_NAMES,
            left_out=len(drawn) - left, regions=regions, percentiles=percentiles, units=units,
            style="".join((TEMPLATES / name).read_text() for name in ("style.css", "panels.css")),
            script=(TEMPLATES / "panels.js").read_text(),
        )  # fmt: skip
        size = len(text.encode())
        if size <= MOST_BYTES:
            return text
    raise RFBenchError(
        f"The panels have {size / 1e6:.2f} MB, above {MOST_BYTES / 1e6:.1f} MB, with one region of each stratum. "
        "Render a part: `rfbench panels --datasets NAME`, or fewer rows by --metrics with a part of metrics.csv."
    )


def write(path: Path, gathered: Sequence[Panels], digest: str) -> int:
    """Write the panels whole; returns their size in bytes. RFBenchError as `render`."""
    text = render(gathered, digest)
    provenance.write_text(path, text)
    return len(text.encode())


def part_of(regions: int, percentiles: Sequence[int]) -> Callable[[examples.Example], bool]:
    """Whether an example is of this part: of each stratum the first regions, and one of these percentiles."""

    def chosen(one: examples.Example) -> bool:
        if one.set == "blind":
            return one.rank <= regions
        return bool(set(map(int, one.percentile.split("-"))) & set(percentiles))

    return chosen


def _set(panels: Panels, drawn: dict[tuple[str, str], Shown], chosen: Callable[[examples.Example], bool]) -> Set:
    found: dict[str, dict[str, list[Shown]]] = {name: {} for name in examples.SETS}
    for case in panels.cases:
        one = case.example
        if chosen(one):
            found[one.set].setdefault(one.lesion, []).append(drawn[panels.name, one.name])
    return Set(panels, found["blind"], found["contrast"], by_lesion(panels.differences))


def shown(case: Case, panels: Panels, units: int = PARTS[0][2]) -> Shown:
    """A case as it is drawn, outlines rounded to half a pixel, or to a view of so many units."""
    one, unit = case.example, min(2.0, units / case.example.crop_side)
    box = tuple(round(unit * value, 1) for value in
                (one.left - one.crop_left, one.top - one.crop_top, one.width, one.height))  # fmt: skip
    views = [
        View("crop", f"the crop without outlines, a box around the {what(one)}", "", (), box=True),
        View("ground truth", f"the true lesions in the crop: {_listed(case.truth)}", "",
             _paths({(lesion, "true"): lines for lesion, lines in case.truth.items()}, unit)),
        *(_view(row, competitor, case, panels, unit) for competitor, row in panels.rows.items()),
    ]  # fmt: skip
    visible = panels.photographs != "never"
    return Shown(one.name, heading(one), caption(one, panels), _jpeg(case.crop) if visible else "",
                 round(unit * one.crop_side, 1), box, tuple(views))  # fmt: skip


def _view(row: str, competitor: str, case: Case, panels: Panels, unit: float) -> View:
    if competitor not in case.seen:
        reason = panels.missing.get(competitor, "no run")
        return View(row, f"{row}: not shown, {reason}", reason=reason)
    seen = case.seen[competitor]
    note = summary(seen, case.example.lesion)
    return View(row, f"{row}: {note}", note, _paths(seen.tile.lines, unit))


def summary(seen: Seen, lesion: str) -> str:
    """What a competitor sees, in words: F of the image, lesions found and regions that are none in the crop."""
    f = "F –" if seen.f != seen.f else f"F {seen.f:.1f} %"
    if lesion in seen.tile.noise:
        return f"{f}; noise, no outline kept"
    count = seen.tile.counts[lesion]
    found = f"found {count.found} of {count.lesions}" if count.lesions else "none to find"
    return f"{f}; {found}, wrong {count.wrong}"


def what(one: examples.Example) -> str:
    """What an example is about: a region, or a disagreement."""
    return "region" if one.set == "blind" else "largest disagreement"


def heading(one: examples.Example) -> str:
    """A case's heading: lesion and stratum, or percentile."""
    if one.set == "blind":
        return f"{one.lesion}, {SIZE_NAMES[one.size]} px at IDRiD's size, no. {one.rank}"
    return f"{one.lesion}, {one.percentile.replace('-', ', ')} %: {one.difference:+.1f} points of F"


def caption(one: examples.Example, panels: Panels) -> str:
    """Rank, image, area, place and digest of an example."""
    place = f"{one.area} px of the image at {one.left}, {one.top}; crop {one.crop_side} px"
    if one.set == "blind":
        return (
            f"Image {one.stem}, region of {place}; rank {one.rank} by SHA-256 {one.digest[:12]}… among {one.of} regions"
        )
    against = f"{panels.rows[one.pair]} − {panels.rows[panels.baseline]}"
    return (
        f"Image {one.stem}, rank {one.rank} of {one.of} by {against} ({one.left_out} left out); disagreement of {place}"
    )


def _listed(truth: dict[str, list[np.ndarray]]) -> str:
    return ", ".join(f"{lesion} {len(lines)}" for lesion, lines in truth.items() if lines) or "none"


def _paths(lines: dict[tuple[str, str], list[np.ndarray]], unit: float) -> tuple[tuple[str, str, str], ...]:
    """(lesion, kind, path) of what there is to draw."""
    return tuple((lesion, kind, path) for (lesion, kind), own in lines.items() if (path := path_of(own, unit)))


def path_of(lines: Sequence[np.ndarray], unit: float) -> str:
    """Closed polygons as one SVG path of whole steps, `unit` of which are a pixel."""
    parts = []
    for line in lines:
        points = np.rint(line * unit).astype(int)
        moved = np.any(points != np.roll(points, 1, axis=0), axis=1)
        if len(line) and not moved.any():  # smaller than a step: a dot
            parts.append(f"M{points[0][0]} {points[0][1]}h1v1z")
            continue
        points = points[moved]
        steps = np.diff(points, axis=0).reshape(-1).tolist()
        parts.append(f"M{points[0][0]} {points[0][1]}l{' '.join(map(str, steps))}z")
    return "".join(parts).replace(" -", "-")


def colour(lesion: str, lesions: tuple[str, ...]) -> str:
    """A lesion's colour on photographs, the papers' four, else as in figures."""
    return OUTLINE_COLOURS.get(lesion) or lesion_colour(lesion, lesions)


def _jpeg(crop: np.ndarray) -> str:
    """A crop in base64, no side above PHOTOGRAPH px."""
    encoded = cv2.imencode(".jpg", shrunk(crop, PHOTOGRAPH)[0], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return base64.b64encode(encoded.tobytes()).decode()
