"""Say what is missing before anything is started: environment, data, devices."""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rfbench import devices, gpus
from rfbench.errors import RFBenchError, printable
from rfbench.files import kind
from rfbench.settings import load, missing_sources, read

ROOT = Path(__file__).parents[3]
Finding = tuple[str, str, str]  # what, "ok" | "note" | "missing", sentence


def check_environment(lock: Path) -> list[Finding]:
    """Compare Python and the installed packages with a lock; RFBenchError for a file that pins nothing."""
    pins = re.findall(r"^[A-Za-z0-9_.-]+==[^\\\n]+", _text(lock), flags=re.MULTILINE)
    if not pins:
        raise RFBenchError(f"--lock {lock}: expected lines such as numpy==2.4.6, found none. envs/ holds the locks.")
    python = sys.version_info[:2]
    fits = "ok" if (3, 11) <= python <= (3, 13) else "note"
    findings = [("Python", fits, f"{python[0]}.{python[1]}; the locks are for 3.11 to 3.13")]
    wrong = []
    for line in pins:
        try:
            pinned = Requirement(line)
        except InvalidRequirement as error:
            raise RFBenchError(f"--lock {lock}: expected lines such as numpy==2.4.6, found {line}.") from error
        name, pin = pinned.name, str(pinned.specifier).removeprefix("==")
        if pinned.marker and not pinned.marker.evaluate():  # of another platform
            continue
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "not installed"
        if found.split("+")[0] != pin:
            wrong.append(f"{name} {found} (expected {pin})")
    if wrong:
        return [*findings, ("packages", "missing", f"{'; '.join(wrong)}. Run `make env`.")]
    shown = lock.relative_to(ROOT) if lock.is_relative_to(ROOT) else lock
    findings.append(("packages", "ok", f"all as pinned in {printable(shown)}"))
    for tool in ("git", "snakemake", "rfbench"):
        where = shutil.which(tool)
        sentence = where or "not on PATH; activate the environment: . .venv/bin/activate"
        findings.append((tool, "ok" if where else "missing", sentence))
    return findings


def _text(lock: Path) -> str:
    if (found := kind(lock)) != "a file":
        raise RFBenchError(f"--lock {lock}: expected a lock file, found {found}. envs/ holds them.")
    return lock.read_text(encoding="utf-8", errors="replace")


def check_device() -> list[Finding]:
    """What torch can compute on, and whether the driver is new enough for the GPU environment."""
    if find_spec("torch") is None:
        return [("device", "missing", "torch, which computes, is not installed. Run `make env`.")]
    import torch

    try:
        found = devices.visible()
    except RFBenchError as error:
        return [("device", "missing", str(error))]
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return [("device", "ok", f"{len(names)} GPU: {', '.join(names)}"), *check_driver()]
    if found:
        sentence = (
            f"{len(found)} GPU, but this torch cannot use it. Install envs/gpu.txt (README, The real experiment)."
        )
        return [("device", "missing", sentence), *check_driver()]
    return [("device", "note", "CPU only: enough for the embedded benchmark, not for the paper's experiment")]


def check_driver(lock: Path = ROOT / "envs" / "gpu.txt") -> list[Finding]:
    """Whether the NVIDIA driver runs the CUDA that the GPU lock pins."""
    cuda, driver = re.search(r"^nvidia-cuda-runtime==(\d+)", lock.read_text(), flags=re.MULTILINE)[1], gpus.driver()
    if driver is None:
        return [("driver", "missing", "no version found; nvidia-smi should tell it")]
    least = devices.LEAST_DRIVER[cuda]
    if int(driver.partition(".")[0]) < least:
        sentence = (
            f"{driver}; CUDA {cuda} of {lock.relative_to(ROOT)} needs {least} or newer. Update the NVIDIA driver."
        )
        return [("driver", "missing", sentence)]
    return [("driver", "ok", driver)]


def check_configurations(paths: Sequence[Path]) -> list[Finding]:
    """Which configurations are valid and have their data; a file that several lack is named once, with all of them."""
    naming: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        for found in _found(path):
            naming.setdefault(found, []).append(str(path))
    return [("\n".join(names), state, sentence) for (state, sentence), names in naming.items()]


def _found(path: Path) -> list[tuple[str, str]]:
    """State and sentence of one configuration, or of each file that it lacks."""
    registry = find_spec("torch") is not None  # which the operator files import
    try:
        missing = missing_sources(load(path, registry=registry))
    except RFBenchError as error:
        return [("missing", str(error))]
    # The key before the colon is the configuration's own; what follows is the same for all that lack the file.
    lacking = [("missing", sentence.partition(": ")[2]) for sentence in missing]
    if not registry:
        valid = "valid as far as can be said without torch (no operator was looked up), and the data is there"
        return lacking or [("note", valid)]
    return lacking or [("ok", "valid, and the data is there")]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--lock", type=Path, default=ROOT / "envs" / "cpu.txt", help="lock to compare with")
    parser.add_argument("--config", type=Path, nargs="*", help="configurations to check (default: all of config/)")


def run(args: argparse.Namespace) -> int:
    """Run the command; status 1 if the environment or a configuration that was named lacks something."""
    environment = check_environment(args.lock) + check_device()
    paths = args.config if args.config else _shipped()
    configurations = check_configurations(paths)
    Console().print(_table(environment + configurations))
    decisive = environment + (configurations if args.config else [])
    return int(any(state == "missing" for _, state, _ in decisive))


def _shipped() -> list[Path]:
    """The benchmark's configurations; the probe's need no data and no GPU."""
    return [path for path in sorted((ROOT / "config").glob("*.yaml")) if "probe" not in read(path)]


def _table(findings: Sequence[Finding]) -> Table:
    """The findings for a terminal: no file's name is cut, and paths below the working directory are relative."""
    table, here = Table(box=SIMPLE, pad_edge=False), f"{Path.cwd()}{os.sep}"
    for heading in ("what", "state", "finding"):
        table.add_column(heading, overflow="fold")
    for what, state, sentence in findings:
        colour = {"ok": "green", "note": "yellow", "missing": "red"}[state]
        table.add_row(escape(what.replace(here, "")), f"[{colour}]{state}[/]", escape(sentence.replace(here, "")))
    return table
