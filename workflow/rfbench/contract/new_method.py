"""`rfbench new-method`: one commented file with a working toy network, and the configuration line that runs it."""

from pathlib import Path

import operators
from rfbench.competitors import methods
from rfbench.contract import beginning

TEMPLATE = Path(__file__).parent / "method.py.j2"
WIDTH = 64  # of the template's published size
PARAMETERS = WIDTH * 3 * 9 + 2 * WIDTH * WIDTH * 9 + 3 * 2 * WIDTH + 4 * (WIDTH + 1)


def write_method(name: str, folder: Path | None = None) -> Path:
    """Write the method's file; its path.

    Args:
        name: of the method and its file.
        folder: where methods live (default: the project's `workflow/rfbench/methods/`).

    Raises:
        RFBenchError: no method can have this name, or it is taken.
    """
    beginning.check_name(name, "a method", "my_net", reserved=("parts",))
    file, label = (folder or methods.FOLDER) / f"{name}.py", beginning.label(name)
    beginning.write(file, TEMPLATE, name, _taken(name, label), {"label": label, "parameters": f"{PARAMETERS:_}"})
    return file


def _taken(name: str, label: str) -> str:
    """Who has this name, or row, already, in words; empty if nobody."""
    for other in methods.available():
        if name == other or label == methods.row(other):
            return f"{methods.origin(other)} declares the method {other}, row {methods.row(other)}"
    for pair in operators.available():
        if name == pair or label == operators.get(pair).published_name:
            return f"{operators.origin(pair)} declares the pair {pair}"
    return ""
