import importlib
import pkgutil

import pytest
import torch

from rfbench import methods

MODULES = sorted({module.name for module in pkgutil.iter_modules(methods.__path__)} - {"base", "parts", "registry"})
METHODS = {
    name: module.METHOD
    for name in MODULES
    if hasattr(module := importlib.import_module(f"rfbench.methods.{name}"), "METHOD")
}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def pytest_generate_tests(metafunc):
    if "method" in metafunc.fixturenames:
        metafunc.parametrize("method", METHODS.values(), ids=METHODS.keys(), scope="module")
