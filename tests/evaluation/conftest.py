"""Fixtures of the evaluation's tests."""

from pathlib import Path

import pytest

from rfbench.data.prepare import prepare_idrid

from ..conftest import ARCHIVE


@pytest.fixture(scope="session")
def real_idrid(real_data, tmp_path_factory) -> Path:
    """The folder of IDRiD's prepared lesion set; half a minute."""
    return prepare_idrid(real_data / ARCHIVE, tmp_path_factory.mktemp("idrid"), progress=False).parent
