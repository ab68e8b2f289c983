"""`rfbench show`: look at a prepared data set.

With a stem: the image with the outlines of its lesions in the papers' colours (HE green, MA blue, EX red, SE yellow),
close-ups of the smallest, median and largest, and a sheet with the place and size of every lesion. Without: a contact
sheet, photographs above and the same with outlines below, one pair of rows for each data set.

Regions are those of the label map, where a lesion may hide part of another; the manifest counts whole masks.
The pictures show patients where the data set does: keep them where the data set is kept.
"""

import csv
import io
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from rfbench.data.images import read_native
from rfbench.data.labels import region_table
from rfbench.data.manifest import NAME, is_synthetic, lesions_of, read_manifest
from rfbench.errors import RFBenchError, printable
from rfbench.files import write_changed
from rfbench.names import OUTLINE_COLOURS, lesion_colour

LONG_SIDE = 1800  # px of an overlay
TILE = 420  # px of a contact sheet's longer side
CLOSE_UPS, CLOSE_UP = 3, 300  # smallest, median and largest of each lesion; px of each
WHITE = (255, 255, 255)
BAR = 30  # px of a line of text
FONT = cv2.FONT_HERSHEY_SIMPLEX


def bgr(lesion: str, lesions: tuple[str, ...]) -> tuple[int, int, int]:
    """A lesion's colour on photographs, fully saturated so that it stands out: the papers' four, else as in figures."""
    colour = OUTLINE_COLOURS.get(lesion) or lesion_colour(lesion, lesions)
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return blue, green, red


def masks_of(label: np.ndarray, lesions: tuple[str, ...]) -> np.ndarray:
    """A label map (H, W) as one mask a lesion, (L, H, W) bool."""
    return label == np.arange(1, len(lesions) + 1, dtype=label.dtype)[:, None, None]


def outline(image: np.ndarray, masks: np.ndarray, lesions: tuple[str, ...], zoom: float, width: int = 1) -> np.ndarray:
    """An image (H, W, 3) uint8 BGR, resized by `zoom`, with the outline of every region drawn outside it.

    `masks` is (L, H, W) bool; they may overlap.
    """
    size = (max(round(image.shape[1] * zoom), 1), max(round(image.shape[0] * zoom), 1))
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC)
    reach = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    taken = np.zeros(canvas.shape[:2], bool)
    for mask, lesion in zip(masks, lesions, strict=True):
        # Area-averaging keeps a lesion visible that is smaller than a pixel of the picture.
        share = cv2.resize(mask.astype(np.float32), size,
                           interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_NEAREST)  # fmt: skip
        inside = share > min(0.3, 0.5 * zoom * zoom)
        # Where another lesion's outline runs already, this one runs around it, so that both show.
        inside |= taken & (cv2.dilate(inside.view(np.uint8), reach) > 0)
        ring = (cv2.dilate(inside.view(np.uint8), reach) > 0) & ~inside
        canvas[ring] = bgr(lesion, lesions)
        taken |= ring
    return canvas


def overlay(image: np.ndarray, masks: np.ndarray, lesions: tuple[str, ...], title: str) -> np.ndarray:
    """The whole image with outlines above, close-ups below and a legend with the number of regions of each lesion."""
    longest = max(image.shape[:2])
    zoom = min(1.0, LONG_SIDE / longest) if longest > CLOSE_UPS * CLOSE_UP else CLOSE_UPS * CLOSE_UP / longest
    regions = {lesion: region_table(mask) for lesion, mask in zip(lesions, masks, strict=True)}
    whole = outline(image, masks, lesions, zoom, width=2)
    width = max(whole.shape[1], CLOSE_UPS * CLOSE_UP)
    rows = [_bar(width, [(title, WHITE)]), whole]
    legend = [(f"{lesion} {len(found)}", bgr(lesion, lesions)) for lesion, found in regions.items()]
    rows.append(_bar(width, [*legend, ("regions; close-ups: smallest, median, largest of each", WHITE)]))
    tiles = [
        _close_up(image, masks, lesions, lesion, found[index])
        for lesion, found in regions.items()
        for index in _picked(found[:, 4])
    ]
    per_row = width // CLOSE_UP
    rows += [np.hstack(tiles[start : start + per_row]) for start in range(0, len(tiles), per_row)]
    return np.vstack([cv2.copyMakeBorder(row, 0, 0, 0, width - row.shape[1], cv2.BORDER_CONSTANT) for row in rows])


def _picked(areas: np.ndarray) -> list[int]:
    """Indices of the smallest, the median and the largest region, each once."""
    order = np.argsort(areas, kind="stable")
    places = np.linspace(0, len(order) - 1, CLOSE_UPS).round().astype(int) if len(order) else []
    return [int(order[place]) for place in dict.fromkeys(places)]


def _close_up(
    image: np.ndarray, masks: np.ndarray, lesions: tuple[str, ...], lesion: str, region: np.ndarray
) -> np.ndarray:
    """A square about one region (left, top, width, height, area), its surroundings twice its size at least."""
    left, top, width, height, area = (int(number) for number in region)
    side = min(max(2 * max(width, height), CLOSE_UP // 4), *image.shape[:2])
    x = min(max(left + width // 2 - side // 2, 0), image.shape[1] - side)
    y = min(max(top + height // 2 - side // 2, 0), image.shape[0] - side)
    part = np.s_[y : y + side, x : x + side]
    tile = outline(image[part], masks[:, *part], lesions, CLOSE_UP / side)
    tile = cv2.resize(tile, (CLOSE_UP, CLOSE_UP), interpolation=cv2.INTER_AREA)
    tile[-BAR:] = _bar(CLOSE_UP, [(f"{lesion} {area} px", bgr(lesion, lesions))])
    return cv2.rectangle(tile, (0, 0), (CLOSE_UP - 1, CLOSE_UP - 1), WHITE, 1)


def _bar(width: int, words: list[tuple[str, tuple[int, int, int]]]) -> np.ndarray:
    """A black bar (BAR, width, 3) with words side by side, each in its colour."""
    bar, x = np.zeros((BAR, width, 3), np.uint8), 8
    for word, tone in ((printable(word), tone) for word, tone in words):  # OpenCV crashes on a name that is no UTF-8
        cv2.putText(bar, word, (x, BAR - 9), FONT, 0.6, tone, 1, cv2.LINE_AA)
        x += cv2.getTextSize(word, FONT, 0.6, 1)[0][0] + 24
    return bar


def sheet(label: np.ndarray, lesions: tuple[str, ...]) -> str:
    """CSV of every 4-connected region of a label map: lesion, area, bounding box, in px; then by size within lesion."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("lesion", "area", "left", "top", "width", "height"))
    for value, lesion in enumerate(lesions, start=1):
        table = region_table(label == value)
        for left, top, width, height, area in table[np.argsort(table[:, 4], kind="stable")].tolist():
            writer.writerow((lesion, area, left, top, width, height))
    return buffer.getvalue()


def contact_sheet(folders: list[Path], split: str, most: int) -> np.ndarray:
    """Up to `most` images of a split of each data set, spread over it: two rows of tiles per data set."""
    sheets = [_rows(folder, split, most) for folder in folders]
    width = max(sheet.shape[1] for sheet in sheets)
    return np.vstack([
        cv2.copyMakeBorder(sheet, 0, 0, 0, width - sheet.shape[1], cv2.BORDER_CONSTANT) for sheet in sheets
    ])  # fmt: skip


def _rows(folder: Path, split: str, most: int) -> np.ndarray:
    """Photographs of one data set side by side, below them the same with outlines and the numbers of regions."""
    frame = read_manifest(folder / NAME, split)
    lesions, mark = lesions_of(frame), "SYNTHETIC " * is_synthetic(frame)
    chosen = frame.iloc[np.unique(np.linspace(0, len(frame) - 1, min(most, len(frame))).round().astype(int))]
    plain, outlined = [], []
    for _, row in chosen.iterrows():
        image, label = read_native(folder, row)
        zoom = TILE / max(image.shape[:2])
        counts = [(f"{lesion} {row[f'{lesion}_regions']}", bgr(lesion, lesions)) for lesion in lesions]
        plain.append(
            (
                outline(image, masks_of(np.zeros_like(label), lesions), lesions, zoom),
                [(f"{mark}{row.split} {row.stem}", WHITE)],
            )
        )
        outlined.append((outline(image, masks_of(label, lesions), lesions, zoom), counts))
    height = max(picture.shape[0] for picture, _ in plain)
    return np.vstack([np.hstack([_tile(*pair, height) for pair in pairs]) for pairs in (plain, outlined)])


def _tile(picture: np.ndarray, words: list[tuple[str, tuple[int, int, int]]], height: int) -> np.ndarray:
    """A picture of at most TILE px padded to (height, TILE), with a line of text below."""
    below, right = height - picture.shape[0], TILE - picture.shape[1]
    return np.vstack([cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_CONSTANT), _bar(TILE, words)])


def _png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def show_image(folder: Path, stem: str, output: Path) -> list[Path]:
    """Write `<stem>.png` and `<stem>.csv` into `output`; return their paths.

    Raises:
        RFBenchError: the data set has no image of this stem.
    """
    refuse_inside(output, folder)
    frame = read_manifest(folder / NAME)
    found = frame[frame["stem"] == stem]
    if found.empty:
        some = ", ".join(frame["stem"].head(3))
        raise RFBenchError(f"{folder}: expected a stem of the data set, such as {some}; found none named {stem}.")
    row, lesions = found.iloc[0], lesions_of(frame)
    image, label = read_native(folder, row)
    mark = "SYNTHETIC " if is_synthetic(frame) else ""
    title = f"{mark}{stem}  {row.split}  {row.width}x{row.height} px"
    written = output / f"{stem}.png", output / f"{stem}.csv"
    write_changed(written[0], _png(overlay(image, masks_of(label, lesions), lesions, title)))
    write_changed(written[1], sheet(label, lesions).encode())
    return list(written)


def refuse_inside(output: Path, folder: Path) -> None:
    """Raise RFBenchError if pictures would lie among the images of the prepared data set `folder`, or replace them."""
    for part in ("images", "labels"):
        if output.resolve().is_relative_to((folder / part).resolve()):
            raise RFBenchError(f"--output {output}: expected a folder outside {folder / part}. Choose another.")


def summary_line(table: pd.DataFrame, lesion: str) -> str:
    """Number and sizes of one lesion's regions in an image's sheet."""
    areas = table.loc[table["lesion"] == lesion, "area"]
    sizes = f", {areas.min()} to {areas.max()} px, median {areas.median():g}" if len(areas) else ""
    return f"{lesion}: {len(areas)} regions{sizes}"
