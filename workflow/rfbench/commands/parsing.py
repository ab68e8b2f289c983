"""How the verbs' options are parsed: help in paragraphs of the terminal's width, messages without escapes."""

import argparse
import sys
import textwrap
from typing import TextIO

from rfbench.errors import printable


class Paragraphs(argparse.HelpFormatter):
    """Fills running text and the items of lists to the terminal's width, and keeps indented lines as they are.

    Descriptions are written for the source's width: argparse has either them raw, too wide for a terminal, or all
    their paragraphs in one.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks: list[list[str]] = []
        for line in text.strip("\n").splitlines():
            item, verbatim = line.startswith("- "), line.startswith("  ")
            in_item = bool(blocks) and blocks[-1][0].startswith("- ") and verbatim
            open_block = bool(blocks) and blocks[-1][0].strip() and line.strip() and not item
            if open_block and (in_item or not (verbatim or blocks[-1][0].startswith("  "))):
                blocks[-1].append(line)
            else:
                blocks.append([line])
        return "\n".join(_filled(block, width) for block in blocks) + "\n"


def _filled(block: list[str], width: int) -> str:
    if block[0].startswith("  ") or not block[0].strip():
        return block[0].rstrip()
    hanging = "  " if block[0].startswith("- ") else ""
    joined = " ".join(line.strip() for line in block)
    return textwrap.fill(joined, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)


class Parser(argparse.ArgumentParser):
    """A parser whose help is in `Paragraphs` and whose complaints hold nothing that a terminal would obey."""

    def __init__(self, **options: object) -> None:
        super().__init__(**{"formatter_class": Paragraphs} | options)

    def error(self, message: str) -> None:
        super().error(printable(message))

    def _print_message(self, message: str, file: TextIO | None = None) -> None:
        """As argparse's, which passes over a disk that is full."""
        print(message, end="", file=file or sys.stderr, flush=True)
