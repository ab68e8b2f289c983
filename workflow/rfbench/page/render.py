"""The page as one HTML file: text and tables from Jinja2, charts from Vega-Lite, nothing loaded from anywhere.

The same input gives the same bytes: the page's date is a record's, and the libraries are compressed without a date.
"""

import base64
import functools
import gzip
import json
import re
from pathlib import Path

import jinja2
import vl_convert

from rfbench import provenance
from rfbench.errors import RFBenchError
from rfbench.page import figure
from rfbench.page.grids import Hole
from rfbench.page.model import Page

TEMPLATES = Path(__file__).parent / "templates"
# `snakemake --report` shows a page as a base64 address, which Chromium blocks above 2 MiB: 1.57 MB of page.
MOST_BYTES = 1_500_000
VEGA_LITE = "6.4"
LIBRARIES = (
    ("Vega", vl_convert.get_vega_version()),
    ("Vega-Lite", VEGA_LITE),
    ("Vega-Embed", vl_convert.get_vega_embed_version()),
)


def environment() -> jinja2.Environment:
    """What the templates are read by."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, autoescape=True,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    found.filters |= {"svg": svg}
    found.tests["hole"] = lambda value: isinstance(value, Hole)
    return found


def render(page: Page) -> str:
    """The page's HTML.

    Raises:
        RFBenchError: it is larger than what `snakemake --report` can show.
    """
    text = environment().get_template("page.html.j2").render(
        page=page, libraries=LIBRARIES, bundle=_bundle(), specs=packed(json.dumps(_specs(page), separators=(",", ":"))),
        style=(TEMPLATES / "style.css").read_text(), script=(TEMPLATES / "page.js").read_text(),
    )  # fmt: skip
    size = len(text.encode())
    if size > MOST_BYTES:
        raise RFBenchError(
            f"The page has {size / 1e6:.2f} MB, and `snakemake --report` shows at most {MOST_BYTES / 1e6:.1f} MB. "
            "Configure fewer pairs or methods, data sets or lesions, or render a part: `rfbench page --metrics` takes "
            "any part of metrics.csv."
        )
    return text


def write(path: Path, page: Page) -> int:
    """Write the page whole; returns its size in bytes. RFBenchError as `render`."""
    text = render(page)
    provenance.write_text(path, text)
    return len(text.encode())


def _specs(page: Page) -> dict[str, dict]:
    """Specification of every panel by its name, and the name of the choices that its data are one of."""
    drawn = {
        panel.name: {"spec": panel.spec} | ({"choices": one.name} if one.choices else {})
        for one in page.figures
        for panel in one.panels
    }
    return {"panels": drawn, "choices": {one.name: one.choices for one in page.figures if one.choices}}


@functools.cache
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, compressed, in base64; wrapped, since its names clash with ours."""
    script = f"(()=>{{{vl_convert.javascript_bundle(vl_version=VEGA_LITE)}}})()"
    return packed(script)


def packed(text: str) -> str:
    """A text compressed, in base64, as the page's script unpacks it; always the same bytes."""
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode()


def svg(panel: figure.Panel) -> jinja2.utils.markupsafe.Markup:
    """A panel as SVG, for readers without JavaScript: no addresses, names of its own, and as few bytes as may be."""
    config = {"aria": False, "axis": {"grid": False}, "view": {"stroke": None}, "font": "sans-serif"}
    spec = {**(panel.still or panel.spec), "width": figure.WIDTH, "background": "white", "config": config}
    text = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)
    text = re.sub(
        r' (xmlns(:\w+)?|version|class|aria-\w+|role|focusable|pointer-events|stroke-miterlimit)="[^"]*"', "", text
    )
    text = re.sub(r' (stroke-width|(fill-|stroke-)?opacity)="1"', "", text)
    text = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), text)
    text = re.sub(r'(id="|url\(#)', rf"\1{panel.name}.", text)
    text = re.sub(r'<path [^>]*d="M0,0h0v0h0Z"[^>]*></path>|<path [^>]*d="M0,0h0v0h0Z"[^>]*/>', "", text)
    text = re.sub(
        r'(<line transform="[^"]*" x2="[^"]*" y2="[^"]*" stroke="([^"]*)"/>)(<line [^>]*stroke="\2"/>)+', _joined, text
    )
    name = f"{panel.name}, {panel.title}".replace('"', "")
    return jinja2.utils.markupsafe.Markup(text.replace("<svg", f'<svg role="img" aria-label="{name}"', 1))


def _joined(lines: re.Match) -> str:
    """Lines of one colour as one path."""
    ends = re.findall(r'translate\(([^)]*)\)" x2="([^"]*)" y2="([^"]*)"', lines[0])
    steps = "".join(f"M{start}l{right},{down}" for start, right, down in ends)
    return f'<path d="{steps}" stroke="{lines[2]}"/>'
