"""A folder of probability maps: those of one network, and a record of which files in it are its own."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from pydantic import Field

from rfbench import provenance
from rfbench.checked import Foreign, checked
from rfbench.errors import RFBenchError
from rfbench.files import write_changed

RECORD = "predictions.json"
COMMON = ("checkpoint", "settings", "threshold")  # to all that one folder holds
FULL_SCALE = 65535  # grey value of probability 1
OVERLAY = "overlay"  # lesions begin with a capital letter, so no map is called so


class _Earlier(Foreign):
    images: dict[str, dict] = Field(description="a mapping of photographs to their sizes")


class Predictions:
    """The maps of one network in a folder.

    Args:
        folder: made if need be, by the first map.
        record: what made the maps; every key of COMMON is the same for all that the folder holds.
        option: name of the folder's option, for messages.

    Raises:
        RFBenchError: the folder is none, its record is damaged, or another network, setting or threshold made what it
            holds.
    """

    def __init__(self, folder: Path, record: Mapping, option: str) -> None:
        self.folder, self.record, self.option = folder, dict(record), option
        self.lesions = tuple(record["settings"]["dataset"]["lesions"])
        self.images: dict[str, dict] = {}
        if folder.exists() and not folder.is_dir():
            raise RFBenchError(f"{option} {folder}: expected a folder, found a file.")
        if not (folder / RECORD).exists():
            return
        earlier, advice = provenance.read_json(folder / RECORD), "Choose another folder."
        self.images = dict(checked(_Earlier, earlier, f"{folder / RECORD}: {{}}".format, advice).images)
        differing = [key for key in COMMON if earlier.get(key) != record[key]]
        if differing:
            raise RFBenchError(
                f"{option} {folder}: holds predictions that were made differently ({', '.join(differing)}). {advice}"
            )

    def refuse_foreign(self, stems: Iterable[str]) -> None:
        """Raise RFBenchError if the maps or overlays of these stems would replace a file that is not the record's."""
        own = {Path(name).stem for name in self.images}
        names = [f"{stem}_{kind}.png" for stem in stems if stem not in own for kind in (*self.lesions, OVERLAY)]
        foreign = [name for name in names if os.path.lexists(self.folder / name)]
        if foreign:
            raise RFBenchError(
                f"{self.option} {self.folder}: expected a folder without {foreign[0]}"
                f"{f' and {len(foreign) - 1} more' * (len(foreign) > 1)}, which would be replaced and which its "
                f"{RECORD} does not list. Choose another folder, or move what is there."
            )

    def add(self, name: str, entry: dict, maps: torch.Tensor, overlay: np.ndarray | None = None) -> None:
        """Write one photograph's files: its probabilities (L, H, W) as 16-bit grey, 65535 for 1, and its overlay.

        The record comes first, so that what a killed command leaves behind is known to be its own.
        """
        stem = Path(name).stem
        self.images = {key: value for key, value in self.images.items() if Path(key).stem != stem} | {name: entry}
        provenance.write_json(self.folder / RECORD, self.record | {"images": self.images})
        for lesion, values in zip(self.lesions, maps.cpu().numpy(), strict=True):
            self._write(f"{stem}_{lesion}.png", np.rint(values * FULL_SCALE).astype(np.uint16))
        if overlay is not None:
            self._write(f"{stem}_{OVERLAY}.png", overlay)

    def _write(self, name: str, picture: np.ndarray) -> None:
        write_changed(self.folder / name, cv2.imencode(".png", picture)[1].tobytes())
