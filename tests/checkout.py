"""A copy of the project that tests and the kill diary may edit, run and kill."""

import copy
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import yaml

ROOT = Path(__file__).parents[1]
SNAKEMAKE = Path(sys.executable).with_name("snakemake")
PAIRS = ["strideconv_bilinear", "m2mrf_c"]  # all of config/ci.yaml would take every test minutes
# The benchmark's configurations, not the probe's, which are of another form.
CONFIGS = [path for path in sorted((ROOT / "config").glob("*.yaml")) if "\nprobe:" not in path.read_text()]
SMALLEST = {**yaml.safe_load((ROOT / "config" / "ci.yaml").read_text()), "pairs": PAIRS}


def with_key(config: Mapping, key: Sequence[str], value: object) -> dict:
    """A copy of a configuration with one key set, given with the sections that it lies in."""
    made = copy.deepcopy(dict(config))
    *sections, last = key
    place = made
    for section in sections:
        place = place.setdefault(section, {})
    place[last] = value
    return made


SPEED = re.compile(r"\d+\.\d\d \(\d+\.\d\d(–|--)\d+\.\d\d\)")  # of a table's row: ratio (smallest–largest)


def without_speeds(path: Path) -> bytes:
    """A file's content; of a table without its speeds, which depend on the machine."""
    if path.parent.name != "tables":
        return path.read_bytes()
    if path.suffix == ".csv":
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        return table[[column for column in table if not column.startswith("FPS")]].to_csv().encode()
    return SPEED.sub("speed", path.read_text()).encode()


class Checkout:
    """A copy of the project that a test may edit, and Snakemake in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("Snakefile", "config", "operators", "profiles", "workflow", "envs"):
            source = ROOT / name
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / name, ignore=ignore) if source.is_dir() else shutil.copy(source, folder)
        self.edit("config/ci.yaml", "pairs: paper", f"pairs: [{', '.join(PAIRS)}]")
        paths = [str(folder), str(folder / "workflow")]
        bins = f"{SNAKEMAKE.parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PATH": bins}
        self.environment.pop("RFBENCH_CONFIG", None)

    def snakemake(self, *arguments: str) -> str:
        """Run Snakemake, on the smallest configuration if none is named; its output, or an assertion with it."""
        default = [] if "--configfile" in arguments else ["--configfile", "config/ci.yaml"]
        command = [SNAKEMAKE, *default, *arguments]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def planned(self, *arguments: str) -> dict[str, int]:
        """Jobs that a dry run would do, by rule."""
        output = self.snakemake("--dry-run", *arguments)
        stats = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\n\n", output, re.S)
        jobs = dict(line.split() for line in stats[1].splitlines()) if stats else {}
        return {rule: int(count) for rule, count in jobs.items() if rule not in ("all", "total")}

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text in a file; the text must be there."""
        path = self.folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def start(self, configfile: str, log: Path, *arguments: str) -> subprocess.Popen:
        """Start Snakemake in a process group of its own, its output in a file."""
        command = [SNAKEMAKE, "--cores", "2", "--configfile", configfile, *arguments]
        with log.open("w") as file:
            return subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=file, stderr=file, start_new_session=True
            )

    def jobs(self) -> dict[int, str]:
        """Processes of `rfbench VERB` that run in this checkout: their verbs, for trainings with pair and seed.

        Not their own children, which have the same command line until they execute another one.
        """
        found, parents = {}, {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().decode().split("\0")
                here = (process / "cwd").readlink() == self.folder.resolve()
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # it has ended meanwhile, or is another user's
            if here and len(words) > 2 and words[1].endswith("/rfbench"):
                run = [words[words.index(f"--{key}") + 1] for key in ("pair", "seed") if f"--{key}" in words]
                found[int(process.name)] = " ".join([words[2], *run])
                parents[int(process.name)] = parent
        return {job: verb for job, verb in found.items() if parents[job] not in found}

    def kill_group(self, snakemake: subprocess.Popen) -> None:
        """Kill -9 Snakemake and every job that it started."""
        os.killpg(snakemake.pid, signal.SIGKILL)
        snakemake.wait()
