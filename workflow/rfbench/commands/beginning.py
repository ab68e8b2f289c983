"""What `rfbench new-operator` and `new-method` do alike: a file, and its line in a configuration."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from rfbench import provenance
from rfbench.contract.beginning import with_name
from rfbench.errors import RFBenchError, print_lines


def add_config(parser: argparse.ArgumentParser, what: str) -> None:
    """Declare --config."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"also add the {what} to this configuration")


def begin(config: Path | None, key: str, name: str, write: Callable[[], Path], holds: str, usual: str) -> None:
    """Write a file; add what it declares to a configuration, or print the line for it.

    Args:
        config: the configuration that is added to, if any.
        key: of its list, `pairs` or `methods`.
        name: of what is declared.
        write: writes the file.
        holds: what the file holds, in words.
        usual: the configuration that the line is printed for.
    """
    if config and not config.is_file():
        raise RFBenchError(f"--config {config}: no such file; nothing was written.")
    # A list that cannot be edited is reported before the file is written.
    text, added = with_name(config, key, name) if config else ("", "")
    print_lines([f"{write()}: written, with {holds}"], file=sys.stderr)
    if config:
        provenance.write_text(config, text)
        print_lines([f"{config}: {added}"], file=sys.stderr)
    else:
        print_lines([f"The line for `{key}` in {usual}:", f"  - {name}"], file=sys.stderr)
