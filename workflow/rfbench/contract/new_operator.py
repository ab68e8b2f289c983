"""`rfbench new-operator`: one commented file with a working toy operator, and the configuration line that runs it."""

import keyword
import re
from pathlib import Path

import jinja2
import yaml

import operators
from rfbench import provenance
from rfbench.errors import RFBenchError
from rfbench.settings import read

TEMPLATE = Path(__file__).parent / "operator.py.j2"


def write_operator(name: str, folder: Path | None = None) -> tuple[Path, str]:
    """Write the operator file; its path and the name of its pair.

    Args:
        name: of the file and of the operator in `operator_options`.
        folder: where operators live (default: the project's `operators/`).

    Raises:
        RFBenchError: no operator can have this name, or it is taken.
    """
    folder = folder or Path(operators.__file__).parent
    file, pair = folder / f"{name}.py", f"{name}_bilinear"
    label = "".join(part.capitalize() for part in name.split("_"))
    if not operators.NAME.fullmatch(name) or keyword.iskeyword(name):
        raise RFBenchError(
            f"'{name}' cannot name an operator: expected small letters, digits and _, beginning with a letter, and "
            "no word of Python's own. For example: box_pool."
        )
    if file.exists():
        raise RFBenchError(f"{file} exists already and is left as it is. Choose another name.")
    if taken := operators.taken(name, pair, label):
        raise RFBenchError(f"'{name}' is taken: {taken}. Choose another name.")
    text = jinja2.Template(TEMPLATE.read_text(), keep_trailing_newline=True, undefined=jinja2.StrictUndefined).render(
        name=name, pair=pair, label=label, path=f"operators/{name}.py"
    )
    provenance.write_text(file, text)
    return file, pair


def with_pair(config: Path, pair: str) -> tuple[str, str]:
    """A configuration file's text with a pair appended to its list `pairs`; see `with_name`."""
    return with_name(config, "pairs", pair)


def with_name(config: Path, key: str, name: str) -> tuple[str, str]:
    """A configuration file's text with a name appended to its list `pairs` or `methods`, everything else as it stands.

    A list `methods` that is not there is begun in front of the seeds.

    Returns:
        The text, and what was added in words: `all` needs no addition.

    Raises:
        RFBenchError: the file cannot be read, or its list is written in a form that a person should edit.
    """
    try:
        whole, text = read(config), config.read_text(encoding="utf-8")
        before = whole.get("probe", whole)  # whose list stands in a section
        listed = before.get(key, []) if key == "methods" else before[key]
        if listed == "all":
            hidden = "; set paper_rows_only to false, which leaves it out" if before.get("paper_rows_only") else ""
            return text, f"{name} is one of `{key}: all`{hidden}"
        if listed == "paper":
            raise RFBenchError(
                f"{config}: `{key}: paper` stands for the paper's rows, and {name} is none; write `all`, or list them."
            )
        wanted = {**before, key: [*listed, name]}
        wanted = {**whole, "probe": wanted} if "probe" in whole else wanted
    except (OSError, AttributeError, KeyError, TypeError) as error:
        raise RFBenchError(f"{config}: expected a configuration with a list '{key}', found {error!r}.") from None
    if key not in before:
        changed = re.sub(r"(?m)^(?=seeds:)", f"{key}: [{name}]\n", text, count=1)
    else:
        changed = _appended(text, key, name)
    if yaml.safe_load(changed) != wanted:
        raise RFBenchError(f"{config}: its list '{key}' is not one item a line; add '- {name}' to it by hand.")
    return changed, f"{name} added to {key}"


def _appended(text: str, key: str, name: str) -> str:
    """The text with a name behind the last of a list, in one line or one item a line."""
    changed = re.sub(rf"(?m)^([ \t]*{key}:[ \t]*\[[^\]\n]*?)[ \t]*\]", rf"\1, {name}]", text, count=1)
    if changed != text:
        return changed
    items = rf"(?m)^(\s*{key}:[^\n]*\n(?:[ \t]*(?:#[^\n]*)?\n)*)((?:([ \t]*-[ \t]+)[^\n]*\n(?:[ \t]*#[^\n]*\n)*)+)"
    return re.sub(items, rf"\g<1>\g<2>\g<3>{name}\n", text, count=1)
