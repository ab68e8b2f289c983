"""`rfbench new-operator`: one commented file with a working toy operator, and the configuration line that runs it."""

from pathlib import Path

import operators
from rfbench.contract import beginning

TEMPLATE = Path(__file__).parent / "operator.py.j2"


def write_operator(name: str, folder: Path | None = None) -> tuple[Path, str]:
    """Write the operator file; its path and the name of its pair.

    Args:
        name: of the file and of the operator in `operator_options`.
        folder: where operators live (default: the project's `operators/`).

    Raises:
        RFBenchError: no operator can have this name, or it is taken.
    """
    beginning.check_name(name, "an operator", "box_pool")
    file, pair = (folder or Path(operators.__file__).parent) / f"{name}.py", f"{name}_bilinear"
    label = beginning.label(name)
    fields = {"pair": pair, "label": label, "path": f"operators/{name}.py"}
    beginning.write(file, TEMPLATE, name, operators.taken(name, pair, label), fields)
    return file, pair
