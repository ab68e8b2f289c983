"""The manifest of a prepared data set, which later stages read."""

import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import BeforeValidator, Field, ValidationInfo, create_model, field_validator

from rfbench.checked import Foreign, checked
from rfbench.data import SPLITS
from rfbench.errors import DataError
from rfbench.names import LARGEST_FRAME, LESIONS, STEM_FORM, is_generated, is_stem, lesion_problem
from rfbench.rows import read_rows

NAME = "manifest.csv"
FIXED = ("stem", "split", "image", "label", "sha256", "width", "height", "label_sha256")
SUFFIXES = (".jpg", ".png", ".tif")  # of prepared photographs
AGAIN = "Prepare the data set again with this version."

_LARGEST = 1 << 26  # bytes of a manifest: some 200,000 images


def _whole(text: object) -> object:
    return int(text) if isinstance(text, str) and re.fullmatch("[0-9]{1,15}", text) else text


Digest = Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")]
Count = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=LARGEST_FRAME)]
Side = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=LARGEST_FRAME)]


class Row(Foreign):
    """One image of a prepared data set, without its lesions. The order matters: paths follow from stem and split."""

    stem: str = Field(description=f"a name of {STEM_FORM}")
    split: Literal[SPLITS] = Field(description=f"one of {', '.join(SPLITS)}")
    image: str = Field(description="images/<split>/<stem>.jpg, .png or .tif")
    label: str = Field(description="labels/<split>/<stem>.png")
    sha256: Digest = Field(description="64 digits of a SHA-256")
    width: Side = Field(description="a whole number of px above 0")
    height: Side = Field(description="a whole number of px above 0")
    label_sha256: Digest = Field(description="64 digits of a SHA-256")

    @field_validator("stem")
    @classmethod
    def _is_stem(cls, stem: str) -> str:
        if not is_stem(stem):
            raise ValueError("no stem")
        return stem

    @field_validator("image", "label")
    @classmethod
    def _in_its_folder(cls, path: str, info: ValidationInfo) -> str:
        stem, split = info.data.get("stem"), info.data.get("split")
        suffixes = SUFFIXES if info.field_name == "image" else (".png",)
        if path not in [f"{info.field_name}s/{split}/{stem}{suffix}" for suffix in suffixes]:
            raise ValueError("another path")
        return path


def columns(lesions: Sequence[str]) -> tuple[str, ...]:
    """Columns of a manifest: FIXED, then regions and pixels of each lesion in painting order."""
    return (*FIXED, *(f"{lesion}_{what}" for lesion in lesions for what in ("regions", "pixels")))


COLUMNS = columns(LESIONS)


def lesions_of(frame: pd.DataFrame) -> tuple[str, ...]:
    """Lesions of a manifest in painting order: label value = index + 1."""
    return tuple(name.removesuffix("_regions") for name in frame.columns if name.endswith("_regions"))


def tabulate(rows: Iterable[dict], lesions: Sequence[str]) -> pd.DataFrame:
    """Rows, in the order given, as a frame with the columns of `lesions`."""
    return pd.DataFrame(list(rows), columns=list(columns(lesions)))


def encode_manifest(frame: pd.DataFrame) -> bytes:
    """A frame of `tabulate` as CSV with `\\n` line ends."""
    return frame.to_csv(index=False, lineterminator="\n").encode()


def read_manifest(path: Path, split: str | None = None, lesions: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a manifest, of one split if given; one row per image, paths relative to the manifest's folder.

    Regions are 4-connected and, like pixels, counted per mask file before one lesion overwrites another.
    Raises DataError if the file is absent, no manifest of ours, holds a value that no preparation writes, has no image
    of the split, or was prepared with other lesions than those given.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"{path}: expected the manifest of a prepared data set, found no file. "
            "Run `rfbench prepare` first; an interrupted preparation leaves no manifest."
        )
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"more than {_LARGEST} bytes")
        header, lines = read_rows(path.read_bytes())
        frame = _checked_frame(path, header, lines)
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: expected a CSV manifest, found an unreadable file ({error}). {AGAIN}") from error
    if lesions is not None and lesions_of(frame) != tuple(lesions):
        raise DataError(
            f"{path}: expected the configuration's lesions {', '.join(lesions)}, found {', '.join(lesions_of(frame))}. "
            "Prepare the data set again or correct `lesions` in the configuration."
        )
    return frame if split is None else _of_split(frame, path, split)


def _checked_frame(path: Path, header: list[str], lines: Iterable[tuple[int, dict[str, str]]]) -> pd.DataFrame:
    """Rows of a manifest as `tabulate` has them, every value checked: a stem becomes the name of files."""
    lesions = tuple(name.removesuffix("_regions") for name in header if name.endswith("_regions"))
    missing = [column for column in columns(lesions) if column not in header]
    if missing or not lesions:
        raise DataError(
            f"{path}: expected the columns {', '.join(FIXED)} and those of the lesions, found none named "
            f"{', '.join(missing) or '<lesion>_regions'}. {AGAIN}"
        )
    if problem := lesion_problem(lesions):
        raise DataError(f"{path}: {problem}. {AGAIN}")
    schema = _schema(lesions)
    rows = [
        checked(schema, row, f"{path}, line {number}: {{}}".format, AGAIN, DataError).model_dump()
        for number, row in lines
    ]
    frame = tabulate(rows, lesions)
    twice = frame["stem"][frame["stem"].duplicated()]
    if len(twice):
        raise DataError(f"{path}: expected every stem once, found {twice.iloc[0]} again. {AGAIN}")
    if len(set(map(is_generated, frame["stem"]))) > 1:
        raise DataError(f"{path}: expected real or synthetic images, found both (SYN_ marks generated ones). {AGAIN}")
    return frame


@functools.cache
def _schema(lesions: tuple[str, ...]) -> type[Row]:
    """`Row` with the columns of the lesions."""
    count = (Count, Field(description="a whole number of at least 0"))
    return create_model("Row", __base__=Row, **dict.fromkeys(columns(lesions)[len(FIXED) :], count))


def _of_split(frame: pd.DataFrame, path: Path, split: str) -> pd.DataFrame:
    """Rows of one split, numbered from 0; DataError if there are none."""
    chosen = frame[frame["split"] == split].reset_index(drop=True)
    if chosen.empty:
        present = ", ".join(sorted(frame["split"].astype(str).unique())) or "none"
        raise DataError(f"{path}: expected images of split '{split}', found the splits: {present}.")
    return chosen


def is_synthetic(frame: pd.DataFrame) -> bool:
    """Whether a manifest lists generated images; results from them must be stamped so."""
    return any(map(is_generated, frame["stem"]))


def region_totals(frame: pd.DataFrame) -> dict[str, int]:
    """Regions over all images, by lesion."""
    return {lesion: int(frame[f"{lesion}_regions"].sum()) for lesion in lesions_of(frame)}
