"""`rfbench plan`: what a configuration will cost on this machine, from a quick measurement before anything starts.

Measured here: each pair's training step and forward pass at two small sizes (batch 1), counting one pair's parameters
and FLOPs, reading and drawing samples, the evaluation of an image without its network, the preparation of two images,
the start of one job. From these the
hours are computed: a network's pass is taken as a constant plus a part proportional to the pixels, work on photographs
as proportional to theirs. It is an estimate: other jobs, a bottleneck in memory or another algorithm of cuDNN at full
size are not in it. What is finished is judged by the records' settings, tables and figures by being there;
`snakemake -n` also looks at code and data.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table

from rfbench import config as configuration
from rfbench import devices, provenance
from rfbench.data.ddr import IMAGES as DDR_IMAGES
from rfbench.data.manifest import read_manifest
from rfbench.data.prepare import prepare_ddr, prepare_idrid, prepare_synthetic
from rfbench.data.training import TrainingStream, read_native
from rfbench.errors import RFBenchError
from rfbench.evaluate import fit_label, predict
from rfbench.losses import dice_loss
from rfbench.metrics import LesionMetrics
from rfbench.models import assemble
from rfbench.pipeline import run_folder
from rfbench.profiling import profile
from rfbench.training.train import device_name, pick_device
from rfbench.training.workfolder import KEPT

BUDGET = 60  # seconds for the passes of all pairs together
SMALL = 64  # px: side of the smaller measured size
FACTOR = 0.25  # length of the images generated for measuring, where the data set is not prepared
IDRID_IMAGES = {"train": 54, "val": 0, "test": 27}
# Stages that follow the runs or the profile, and a file of each.
LAST = {
    "costs": "{reports}/tables/profile.csv",
    "aggregate": "{results}/metrics.csv",
    "tables": "{reports}/tables/tables.json",
    "figures": "{reports}/figures/figures.txt",
    "ablation": "{reports}/tables/table1.csv",
}
STAGES = ("prepare", "weights", "train", "evaluate", "profile", "costs", "aggregate", "tables", "figures", "ablation")


def line(small: tuple[float, float], large: tuple[float, float]) -> tuple[float, float]:
    """Constant and slope through two measurements (pixels, seconds); proportional where noise leaves no slope."""
    (x0, y0), (x1, y1) = small, large
    slope = (y1 - y0) / (x1 - x0)
    if slope <= 0 or y0 < slope * x0:
        return 0.0, y1 / x1
    return y0 - slope * x0, slope


def training_seconds(section: dict, recipe: dict, network: dict, images: dict) -> float:
    """Seconds of one training.

    Args:
        section: the data set's section of a complete configuration.
        recipe: the configuration's recipe.
        network: a pair's entry of `measure_network`.
        images: the data set's entry of `measure_images`.
    """
    constant, slope = network["step"]
    size, pixels = recipe["batch_size"] / recipe["micro_batches"], math.prod(section["crop"])
    update = recipe["micro_batches"] * (constant + slope * size * pixels) + network["optimizer"]
    cached = recipe["train_source"] == "cached_2x"
    loading = recipe["batch_size"] * (images["draw"] + (0 if cached else images["read"]))
    once = images["train"] * images["read"] * cached
    if not recipe["workers"]:
        return once + section["iterations"] * (update + loading)
    return once + section["iterations"] * max(update, loading / recipe["workers"])


def evaluation_seconds(section: dict, evaluation: dict, network: dict, images: dict) -> float:
    """Seconds of one evaluation; the untrained network doubles it where it is configured."""
    constant, slope = network["forward"]
    image = images["read"] + images["judge"] + constant + slope * math.prod(section["scale"])
    return (1 + evaluation["untrained"]) * images[evaluation["split"]] * image


def profile_seconds(settings: profile.Settings, networks: dict, counting: float) -> float:
    """Seconds of `rfbench profile`: counting each pair, then two passes and the rounds of each form of each network.

    The fused form is taken to be as fast as the pair's own.
    """
    timing = 0.0
    for pair in {profile.BASELINE, *settings.pairs}:
        constant, slope = networks[pair]["forward"]
        once = constant + slope * math.prod(settings.size)
        repeats = math.ceil(profile.LEAST_SECONDS / once)
        timing += (1 + (pair in settings.fused)) * (2 + settings.rounds * repeats) * once
    return len(settings.pairs) * counting + timing


def stages(config: dict, measured: dict, jobs: int) -> list[dict]:
    """One row a stage: jobs in all and to do, seconds one after another and `jobs` at a time, bytes.

    Args:
        config: a complete configuration.
        measured: content of `measure`.
        jobs: runs at the same time.
    """
    networks, images, start = measured["networks"], measured["images"], measured["start"]
    runs = configuration.runs(config)
    state = {run: _state(config, *run) for run in runs}
    prepared = {name: _manifest(config, name).exists() for name in config["datasets"]}
    counts = {name: sum(images[name][split] for split in ("train", "val", "test")) for name in images}
    kept = sum(networks[pair]["bytes"] for _, pair, _ in runs)
    running = min(jobs, len(runs)) * (KEPT + 1) * max(networks[pair]["checkpoint"] for _, pair, _ in runs)
    seconds = {
        "prepare": [0.0 if prepared[name] else counts[name] * images[name]["prepare"] for name in images],
        "train": [
            training_seconds(config["datasets"][name], config["recipe"], networks[pair], images[name])
            for (name, pair, seed) in runs if state[name, pair, seed] == "missing"
        ],
        "evaluate": [
            evaluation_seconds(config["datasets"][name], config["evaluation"], networks[pair], images[name])
            for (name, pair, seed) in runs if state[name, pair, seed] != "done"
        ],
    }  # fmt: skip
    seconds["prepare"] = [value for value in seconds["prepare"] if value]
    seconds = {stage: values for stage, values in seconds.items() if values}
    if not _profiled(config):
        seconds["profile"] = [profile_seconds(profile.from_config(config), networks, measured["counting"])]
    seconds |= {stage: [0.0] for stage in _due(config, set(seconds))}
    seconds["weights"] = [0.0] * (config["model"]["pretrained"] != "none")
    total = {"prepare": len(images), "weights": len(seconds["weights"]), "train": len(runs), "evaluate": len(runs)}
    size = {"prepare": sum(counts[name] * images[name]["bytes"] for name in images), "train": kept + running}
    rows = []
    for stage in STAGES[: None if config["sweep"] else -1]:
        own = [start + value for value in seconds.get(stage, [])]
        wide = jobs if stage in ("train", "evaluate") else 1
        rows.append({
            "stage": stage,
            "jobs": total.get(stage, 1),
            "to_do": len(own),
            "seconds": sum(own),
            "seconds_parallel": max(sum(own) / wide, max(own, default=0.0)),
            "bytes": size.get(stage, 0),
        })  # fmt: skip
    return rows


def _state(config: dict, dataset: str, pair: str, seed: int) -> str:
    """Whether a run is `done`, only `trained`, or `missing`, by its records' settings."""
    folder = run_folder(config["results"], dataset, pair, seed)
    settings = configuration.run_settings(config, dataset, pair, seed)
    wanted = {"settings": settings, "evaluation": configuration.evaluation_settings(config, dataset)}
    for name, keys, state in (("evaluation", tuple(wanted), "done"), ("train", ("settings",), "trained")):
        path = folder / f"{name}.json"
        if path.exists():
            record = provenance.read_json(path)
            if all(record.get(key) == wanted[key] for key in keys):
                return state
    return "missing"


def _due(config: dict, begun: set[str]) -> list[str]:
    """Stages of `LAST` that a stage begun before them makes due, or whose file is missing."""
    before = {"aggregate": {"evaluate"}, "costs": {"profile"}}
    return [
        stage for stage, file in LAST.items()
        if begun & before.get(stage, {"evaluate", "profile"}) or not Path(file.format(**config)).exists()
    ]  # fmt: skip


def _profiled(config: dict) -> bool:
    """Whether results/profile.json holds what this configuration profiles."""
    path = Path(config["results"]) / "profile.json"
    if not path.exists():
        return False
    record, wanted = provenance.read_json(path), json.loads(json.dumps(asdict(profile.from_config(config))))
    pairs, wanted["paper"] = wanted.pop("pairs"), profile.PAPER if wanted["paper"] else None
    return set(record["pairs"]) == set(pairs) and all(record.get(key) == value for key, value in wanted.items())


def _manifest(config: dict, dataset: str) -> Path:
    return Path(config["results"]) / "data" / dataset / "manifest.csv"


def measure(config: dict) -> dict:
    """Measure this machine.

    Returns:
        `networks` by pair or variant, `images` by data set, `counting` (seconds to build one pair and count what its
        profile counts), `start` (seconds of a job before its work), device, threads and the sides of the squares.
    """
    device = pick_device(config["device"])
    torch.set_num_threads(config["recipe"]["threads"])
    runs = [pair for _, pair, _ in configuration.runs(config)]
    pairs = dict.fromkeys([*runs, profile.BASELINE, *config["pairs"]])
    side = _affordable_side(config, next(iter(pairs)), device, BUDGET / (3 * len(pairs)))
    console = Console(stderr=True)
    shown = {"console": console, "disable": not console.is_terminal}
    networks = {pair: measure_network(config, pair, device, side) for pair in track(pairs, "networks", **shown)}
    images = {name: measure_images(config, name, device) for name in track(config["datasets"], "images", **shown)}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "rfbench", "train", "--help"], check=True, capture_output=True)
    return {
        "device": device_name(device),
        "threads": config["recipe"]["threads"],
        "sides": [SMALL, side],
        "start": time.perf_counter() - start,
        "counting": _counting(profile.from_config(config), device),
        "networks": networks,
        "images": images,
    }


def _counting(settings: profile.Settings, device: torch.device) -> float:
    """Seconds to build a pair's network and to count its parameters, FLOPs and memory."""
    started = profile.clock(device)
    profile.build(settings, settings.pairs[-1], device)
    profile.count(settings, settings.pairs[-1], device)
    return profile.clock(device) - started


def _affordable_side(config: dict, pair: str, device: torch.device, limit: float) -> int:
    """The largest side, doubled from 128 px up to the largest crop's, at which a step takes at most `limit` seconds."""
    most = max(math.prod(section["crop"]) for section in config["datasets"].values())
    model, _ = _network(config, pair, device)
    side = 2 * SMALL
    while (2 * side) ** 2 <= most:
        _step(model, side, device, config["recipe"]["amp"])
        if 4 * _step(model, side, device, config["recipe"]["amp"])[0] > limit:
            break
        side *= 2
    return side


def _network(config: dict, pair: str, device: torch.device) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A run's network and optimiser; its weights have torch's initial values, which no time depends on."""
    datasets = [name for name, own, _ in configuration.runs(config) if own == pair]
    dataset = (datasets or list(config["datasets"]))[0]  # a pair that is only profiled has no run
    settings = configuration.run_settings(config, dataset, pair, 0)
    lesions = len(settings["dataset"]["lesions"])
    model = assemble(
        settings["pair"],
        settings["model"]["backbone"],
        lesions,
        operator_options=settings["model"]["operator_options"],
    ).to(device)
    options = {key: value for key, value in settings["recipe"]["optimizer"].items() if key != "type"}
    return model, getattr(torch.optim, settings["recipe"]["optimizer"]["type"])(model.parameters(), **options)


def measure_network(config: dict, pair: str, device: torch.device, side: int, passes: int = 2) -> dict:
    """Measure one pair at SMALL and at `side` pixels, batch 1, the fastest of `passes` after one to warm up.

    Returns:
        step and forward: constant and seconds per pixel; optimizer: seconds an update; bytes of the weights and of a
        checkpoint.
    """
    model, optimizer = _network(config, pair, device)
    _step(model, SMALL, device, config["recipe"]["amp"])
    optimizer.step()
    started = profile.clock(device)
    optimizer.step()
    update = profile.clock(device) - started
    steps, forwards = [], []
    for size in (SMALL, side):
        timed = [_step(model, size, device, config["recipe"]["amp"]) for _ in range(passes)]
        steps.append((size**2, min(step for step, _ in timed)))
        forwards.append((size**2, min(forward for _, forward in timed)))
    state = [tensor for entry in optimizer.state.values() for tensor in entry.values() if torch.is_tensor(tensor)]
    weights = _bytes(model.state_dict().values())
    return {
        "step": line(*steps),
        "forward": line(*forwards),
        "optimizer": update,
        "bytes": weights,
        "checkpoint": weights + _bytes(state),
    }


def _step(model: torch.nn.Module, side: int, device: torch.device, amp: str) -> tuple[float, float]:
    """Seconds of a forward and backward pass over one square image, and of the forward pass alone."""
    image = torch.randn(1, 3, side, side, device=device)
    label = torch.zeros(1, side, side, dtype=torch.long, device=device)
    model.train()
    started = profile.clock(device)
    with torch.autocast(device.type, torch.float16 if amp == "float16" else torch.bfloat16, enabled=amp != "none"):
        logits = model(image)
    forward = profile.clock(device)
    dice_loss(logits.float(), label).backward()
    return profile.clock(device) - started, forward - started


def _bytes(tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def measure_images(config: dict, dataset: str, device: torch.device) -> dict:
    """Measure a data set's images: as prepared, else on generated ones, scaled to the real ones by their pixels.

    Returns:
        Numbers of images by split; seconds an image to prepare, read, draw a sample of it beyond reading, judge (all
        of an evaluation but the network); bytes an image; measured_on.

    Raises:
        RFBenchError: kind folder that is not prepared, whose images nobody knows.
    """
    section = config["datasets"][dataset]
    with tempfile.TemporaryDirectory() as folder:
        manifest, ratio, prepare = _images_to_measure(config, dataset, Path(folder))
        row = next(read_manifest(manifest, "train", section["lesions"]).itertuples())
        read = _fastest(lambda: read_native(manifest.parent, row))
        stream = TrainingStream(manifest, section, {**config["recipe"], "train_source": "native"}, seed=0)
        draw = max(_fastest(lambda: stream[0]) - read, 0.0)
        image, label = read_native(manifest.parent, row)
        judge = _fastest(lambda: _judge(section, image, label, device), passes=1)
        kept = sum((manifest.parent / name).stat().st_size for name in (row.image, row.label))
        if section["kind"] == "synthetic":  # the generated archive stays, two images of it
            kept += sum(file.stat().st_size for file in (manifest.parent / "raw").rglob("*") if file.is_file()) // 2
        counts = _counts(config, dataset)
    native = section["eval_size"] == "native"
    return counts | {
        "prepare": prepare * ratio,
        "read": read * ratio,
        "draw": draw,
        "judge": judge * (ratio if native else 1),
        "bytes": round(kept * ratio),
        "measured_on": "prepared images" if not prepare else f"generated images, pixels x{ratio:g}",
    }


def _images_to_measure(config: dict, dataset: str, folder: Path) -> tuple[Path, float, float]:
    """A manifest, the real images' pixels as a multiple of its images', seconds that preparing one of them took."""
    section, prepared = config["datasets"][dataset], _manifest(config, dataset)
    if prepared.exists() and section["kind"] != "synthetic":
        return prepared, 1.0, 0.0
    if section["kind"] == "folder":
        raise RFBenchError(
            f"{prepared}: not found, and nobody knows the images of datasets.{dataset} before. "
            f"Prepare them first: snakemake --cores all {prepared}."
        )
    layout = configuration.published_layout(section)
    full = section["synthetic"] if section["kind"] == "synthetic" else {"factor": 1.0, "seed": 0}
    factor = min(FACTOR, full["factor"])
    plan = {"train": 1, "test": 1, "factor": factor, "seed": full["seed"], "layout": layout}
    started = time.perf_counter()
    manifest = prepare_synthetic(folder / "generated", **plan, progress=False)
    if section["kind"] != "synthetic":
        ingest = prepare_ddr if layout == "ddr" else prepare_idrid
        started = time.perf_counter()
        manifest = ingest(folder / "generated" / "raw", folder / "out", expect_official=False, progress=False)
    return manifest, (full["factor"] / factor) ** 2, (time.perf_counter() - started) / 2


def _counts(config: dict, dataset: str) -> dict[str, int]:
    """Numbers of images by split: configured, counted in the manifest, or the official release's."""
    section, prepared = config["datasets"][dataset], _manifest(config, dataset)
    if section["kind"] == "synthetic":
        return {split: section["synthetic"][split] for split in ("train", "val", "test")}
    if prepared.exists():
        splits = read_manifest(prepared)["split"]
        return {split: int((splits == split).sum()) for split in ("train", "val", "test")}
    return dict(DDR_IMAGES if section["kind"] == "ddr" else IDRID_IMAGES)


def _judge(section: dict, image, label, device: torch.device) -> None:
    """All of an image's evaluation but reading it and the network."""
    metrics = LesionMetrics(section["lesions"])
    scale, eval_size = section["scale"], section["eval_size"]
    target = torch.from_numpy(fit_label(label, scale, eval_size)).to(device)
    metrics.update(predict(_Nothing(len(section["lesions"])), image, scale, device, eval_size), target)


class _Nothing(torch.nn.Module):
    """A network that costs nothing, with the data preprocessor's form."""

    def __init__(self, lesions: int) -> None:
        super().__init__()
        self.lesions = lesions

    def data_preprocessor(self, data: dict, training: bool) -> dict:
        return {"inputs": torch.stack([image.float() for image in data["inputs"]])}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :1].expand(-1, self.lesions, -1, -1) / 255


def _fastest(work: Callable, passes: int = 3) -> float:
    """Seconds of the fastest pass."""
    seconds = []
    for _ in range(passes):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def plan(config: dict, jobs: int) -> dict:
    """The plan of a complete configuration: `stages` (see there), `measured`, runs by state, jobs at a time."""
    measured = measure(config)
    states = [_state(config, *run) for run in configuration.runs(config)]
    return {
        "jobs": jobs,
        "runs": {state: states.count(state) for state in ("done", "trained", "missing")},
        "stages": stages(config, measured, jobs),
        "measured": measured,
    }


def show(report: dict, config: dict, console: Console) -> None:
    """Print the plan and how it was made."""
    jobs, runs, measured = report["jobs"], report["runs"], report["measured"]
    table = Table("stage", box=SIMPLE, pad_edge=False)
    for heading in ("jobs", "to do", "one by one", f"{jobs} at a time", "disk, GB"):
        table.add_column(heading, justify="right", no_wrap=True)
    everything = {"stage": "all"} | {
        key: sum(row[key] for row in report["stages"]) for key in report["stages"][0] if key != "stage"
    }
    rows = [row for row in report["stages"] if row["jobs"]]
    for row in (*rows, everything):
        times = [duration(row[key]) for key in ("seconds", "seconds_parallel")]
        last = row is rows[-1]
        table.add_row(
            row["stage"], str(row["jobs"]), str(row["to_do"]), *times, f"{row['bytes'] / 1e9:,.2f}", end_section=last
        )
    console.print(table)
    small, side = measured["sides"]
    most = max(math.prod(section["crop"]) for section in config["datasets"].values())
    threads = f"{measured['threads']} thread{'s' * (measured['threads'] > 1)}"
    notes = [
        f"{sum(runs.values())} runs: {runs['done']} done, {runs['trained']} trained but not evaluated, "
        f"{runs['missing']} missing, by their settings; `snakemake -n` also looks at code and data.",
        f"Networks: measured on {measured['device']}, {threads}, at {small}x{small} and {side}x{side}, batch 1; "
        f"extrapolated to the configured batch and crops of up to {most / side**2:.3g} times the pixels.",
        *(f"{name}: measured on {images['measured_on']}." for name, images in measured["images"].items()),
        f"Disk: images, weights of every run, {KEPT + 1} checkpoints of each running training.",
        "Profile: counting, and timing alone on the machine; the fused form is taken to be as fast as the plain one.",
        "An estimate: jobs that share cores, memory or a GPU slow one another down. Of the stages from aggregate on, "
        "and of weights, only the start of the job is counted.",
    ]
    for note in notes:
        console.print(note, soft_wrap=True)


def duration(seconds: float) -> str:
    """A time for people: seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:,.1f} h"


def default_jobs(config: dict) -> int:
    """Runs that this machine does at a time: one a GPU, or as many as its cores allow."""
    gpus = 0 if config["device"] == "cpu" else len(devices.visible())
    return gpus or max((os.cpu_count() or 1) // config["recipe"]["threads"], 1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("config", type=Path, help="configuration file, such as config/paper.yaml")
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at the same time (default: one a GPU, else a core)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    config = configuration.load(args.config)
    jobs = default_jobs(config) if args.jobs is None else args.jobs
    if jobs < 1:
        raise RFBenchError(f"--jobs: expected at least 1, found {jobs}.")
    report = plan(config, jobs)
    print(json.dumps(report, indent=2)) if args.json else show(report, config, Console())
    return 0
