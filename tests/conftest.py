"""Fixtures shared by all tests."""

import importlib.util
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from rfbench.data.prepare import prepare_idrid, prepare_synthetic

ARCHIVE = "A. Segmentation.zip"
WITH_TORCH = importlib.util.find_spec("torch") is not None


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Without torch, skip the files that import it; the others show that settings, statistics and tables need none."""
    report = yield
    if report.failed and not WITH_TORCH and "No module named 'torch'" in str(report.longrepr):
        report.outcome, report.longrepr = "skipped", (str(collector.path), 0, "Skipped: needs torch")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Without torch, skip also what imports it later."""
    try:
        return (yield)
    except ModuleNotFoundError as error:
        if WITH_TORCH or error.name != "torch":
            raise
        pytest.skip("needs torch")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real archives: RFBENCH_DATA, by default shared/data beside the repository; skips without."""
    named = os.environ.get("RFBENCH_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not (folder / ARCHIVE).is_file():
        pytest.skip(f"no '{ARCHIVE}' in {folder}; set RFBENCH_DATA to the folder of the real archives")
    return folder


@pytest.fixture(scope="session")
def idrid(real_data, tmp_path_factory) -> Path:
    """Manifest of the real IDRiD set, prepared."""
    return prepare_idrid(real_data / ARCHIVE, tmp_path_factory.mktemp("idrid"), progress=False)


@pytest.fixture(scope="session")
def manifest(tmp_path_factory) -> Path:
    """A prepared synthetic set: two training images and one test image of 428x284 px."""
    return prepare_synthetic(tmp_path_factory.mktemp("syn"), train=2, test=1, factor=0.1, seed=3, progress=False)


@pytest.fixture(scope="session", autouse=True)
def own_gpu_locks(tmp_path_factory) -> None:
    """Parallel test processes share a GPU rather than wait for each other."""
    os.environ["RFBENCH_GPU_LOCKS"] = str(tmp_path_factory.mktemp("gpus"))
