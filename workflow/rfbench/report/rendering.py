"""A table's rows as CSV, Markdown and TeX, from the templates of workflow/rfbench/report/templates."""

import re
from pathlib import Path

import jinja2
import pandas as pd

from rfbench import provenance
from rfbench.report import ranking

TEMPLATES = Path(__file__).parent / "templates"
CSV_ABOUT = ["dataset", "data", "row", "pair", "downsample", "upsample", "n", "configured", "holes"]
TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "±": r"$\pm$", "–": "--", "×": r"$\times$", "α": r"$\alpha$", "²": r"$^2$", "→": r"$\to$",
}  # fmt: skip
TYPESET = re.compile(r"[\x20-\x7e\xa1-\u017f‘’“”…]")  # what LaTeX sets without further packages


def write(folder: Path, name: str, rows: list[dict], about: dict) -> None:
    """Write a table as `name`.csv, .md and .tex (rows and notes of `rfbench.report.tables`)."""
    provenance.write_text(folder / f"{name}.csv", to_csv(rows))
    for kind in ("md", "tex"):
        provenance.write_text(folder / f"{name}.{kind}", render(f"table.{kind}.j2", rows=rows, about=about))


def to_csv(rows: list[dict]) -> str:
    """The table as CSV: plain numbers, one column each for mean, std and published value; Param in millions.

    Columns that begin with FPS depend on the machine and its load, no others do.
    """
    flat = []
    for row in rows:
        line = {key: row[key] for key in CSV_ABOUT if key in row}
        line |= {"data": "SYN" if row["synthetic"] else "real", "holes": "; ".join(row["holes"])}
        if not row["configured"]:
            line["holes"] = "not configured"
        for heading, cell in row["cells"].items():
            if heading == "Param":
                line |= {"Param_M": cell.mean, "Param_M_published": cell.published}
            elif heading == "FPS":
                line |= {"FPS_ratio": cell.mean, "FPS_ratio_min": cell.low, "FPS_ratio_max": cell.high}
                line |= {"FPS_ratio_published": cell.published, "FPS_published": cell.frames}
            else:
                line |= {f"{heading}_mean": cell.mean, f"{heading}_std": cell.std}
                line[f"{heading}_published"] = cell.published
        for heading in ranking.PRIMARY:
            line |= _claims(heading, row)
        flat.append(line)
    frame = pd.DataFrame(flat)
    return frame[[*CSV_ABOUT, *frame.columns.drop(CSV_ABOUT)]].to_csv(
        index=False, lineterminator="\n", float_format="%.4f"
    )


def _claims(heading: str, row: dict) -> dict:
    """What a row may claim in a metric: its letters, its difference to the baseline with both intervals."""
    found = {f"{heading}_letters": row["cells"][heading].letters} if heading in row["cells"] else {}
    if heading in row["differences"]:
        for name, value in vars(row["differences"][heading]).items():
            found[f"{heading}_difference" + ("" if name == "mean" else f"_{name}")] = value
    return found


def render(name: str, **values) -> str:
    """Render a template. TeX templates get their own delimiters; `tex` escapes, `marked` sets best and second.

    A template's line that ends in an empty comment, `{# -#}` or `<# -#>`, goes on in the next one.
    """
    tex = name.endswith(".tex.j2")
    marks = {"block_start_string": "<%", "block_end_string": "%>", "variable_start_string": "<<",
             "variable_end_string": ">>", "comment_start_string": "<#", "comment_end_string": "#>"}  # fmt: skip
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, **(marks if tex else {}),
    )  # fmt: skip
    environment.filters |= {"tex": escape_tex, "marked": marked_tex if tex else marked_markdown}
    return environment.get_template(name).render(**values)


def marked_markdown(cell) -> str:
    """A cell's text in Markdown: the best bold, the second underlined, the letters raised."""
    marked = {"best": f"**{cell.text}**", "second": f"<u>{cell.text}</u>"}.get(cell.mark, cell.text)
    return marked + (f" <sup>{cell.letters}</sup>" if cell.letters else "")


def marked_tex(cell) -> str:
    """A cell's text in TeX: the best bold, the second underlined, the letters raised."""
    command = {"best": r"\textbf{%s}", "second": r"\underline{%s}"}.get(cell.mark, "%s")
    return command % escape_tex(cell.text) + (rf"\,$^\mathrm{{{cell.letters}}}$" if cell.letters else "")


def escape_tex(text: str) -> str:
    """Escape TeX's special characters, set signs that text fonts lack in mathematics, name those that it cannot set."""
    return "".join(TEX.get(sign) or (sign if TYPESET.match(sign) else f"[U+{ord(sign):04X}]") for sign in text)
