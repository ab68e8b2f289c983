"""Reading one photograph of a prepared data set with its label map."""

from pathlib import Path

import cv2
import numpy as np

from rfbench.errors import DataError


def read_native(folder: Path, row) -> tuple[np.ndarray, np.ndarray]:
    """Read one manifest row: image (H, W, 3) uint8 in BGR order and label map (H, W) uint8, both as on disk.

    Raises:
        DataError: a file of the prepared data set is gone or unreadable.
    """
    # The orientation tag is ignored: masks know none, so turning only the image would part the two.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imread(str(folder / row.image), flags)
    label = cv2.imread(str(folder / row.label), cv2.IMREAD_GRAYSCALE)
    for path, array in ((row.image, image), (row.label, label)):
        if array is None:
            raise DataError(
                f"{folder / path}: expected a readable image of the prepared data set, found none. "
                "Prepare it again (delete the folder's manifest.csv and run the same command)."
            )
    return image, label
