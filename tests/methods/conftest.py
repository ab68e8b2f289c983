"""Every method that is there, for the tests of what all share; and the method `tiny`, registered for one test."""

import importlib
import pkgutil
from pathlib import Path

import pytest
import torch

from rfbench.competitors import methods

MODULES = sorted({module.name for module in pkgutil.iter_modules([str(methods.FOLDER)])} - {"parts"})
METHODS = {
    name: module.METHOD
    for name in MODULES
    if hasattr(module := importlib.import_module(f"rfbench.methods.{name}"), "METHOD")
}
TINY = Path(__file__).parent / "tiny.py"


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def tiny():
    """Its name; it is registered until the test ends."""
    yield methods.load_file(TINY)
    methods._loaded.clear()
    methods._forget()


def pytest_generate_tests(metafunc):
    if "method" in metafunc.fixturenames:
        metafunc.parametrize("method", METHODS.values(), ids=METHODS.keys(), scope="module")
