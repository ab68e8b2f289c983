"""`rfbench new-method`: one commented file with a working toy network, and the configuration line that runs it."""

import keyword
from pathlib import Path

import jinja2

import operators
from rfbench import provenance
from rfbench.competitors import methods
from rfbench.errors import RFBenchError

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
    file = (folder or methods.FOLDER) / f"{name}.py"
    label = "".join(part.capitalize() for part in name.split("_"))
    if not methods.NAME.fullmatch(name) or keyword.iskeyword(name) or name == "parts":
        raise RFBenchError(
            f"'{name}' cannot name a method: expected small letters, digits and _, beginning with a letter, and "
            "neither a word of Python's own nor parts. For example: my_net."
        )
    if file.exists():
        raise RFBenchError(f"{file} exists already and is left as it is. Choose another name.")
    if taken := _taken(name, label):
        raise RFBenchError(f"'{name}' is taken: {taken}. Choose another name.")
    template = jinja2.Template(TEMPLATE.read_text(), keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    provenance.write_text(file, template.render(name=name, label=label, parameters=f"{PARAMETERS:_}"))
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
