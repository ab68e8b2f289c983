"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

ARCHIVE = "A. Segmentation.zip"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real archives: RFBENCH_DATA, else ../shared/data beside the repository; skips without."""
    named = os.environ.get("RFBENCH_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not (folder / ARCHIVE).is_file():
        pytest.skip(f"no '{ARCHIVE}' in {folder}; set RFBENCH_DATA to the folder of the real archives")
    return folder
