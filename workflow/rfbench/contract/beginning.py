"""Files to begin with, of operators and methods: their names, their templates, their line in a configuration."""

import keyword
import re
from collections.abc import Mapping
from pathlib import Path

import jinja2
import yaml

from rfbench import provenance, registry
from rfbench.errors import RFBenchError
from rfbench.settings import read


def check_name(name: str, what: str, example: str, reserved: tuple[str, ...] = ()) -> None:
    """Refuse, by RFBenchError, what cannot name a file of ours and what it declares; `what`: "an operator"."""
    if not registry.NAME.fullmatch(name) or keyword.iskeyword(name) or name in reserved:
        nor = f"neither a word of Python's own nor {', '.join(reserved)}" if reserved else "no word of Python's own"
        raise RFBenchError(
            f"'{name}' cannot name {what}: expected small letters, digits and _, beginning with a letter, and "
            f"{nor}. For example: {example}."
        )


def label(name: str) -> str:
    """A row of tables for what has no other: box_pool becomes BoxPool."""
    return "".join(part.capitalize() for part in name.split("_"))


def write(file: Path, template: Path, name: str, taken: str, fields: Mapping[str, object]) -> None:
    """Write a file from its template.

    Args:
        taken: who has its name already, in words; empty if nobody.
        fields: of the template, beside `name`.

    Raises:
        RFBenchError: the file exists, or the name is taken; nothing is written.
    """
    if file.exists():
        raise RFBenchError(f"{file} exists already and is left as it is. Choose another name.")
    if taken:
        raise RFBenchError(f"'{name}' is taken: {taken}. Choose another name.")
    text = jinja2.Template(template.read_text(), keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    provenance.write_text(file, text.render(name=name, **fields))


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
