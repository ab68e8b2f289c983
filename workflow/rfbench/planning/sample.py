"""A quick sample of what a configuration's parts cost on this machine.

Each pair's training step and forward pass at two small sizes (batch 1), counting one pair's parameters and FLOPs,
reading and drawing samples, the evaluation of an image without its network, the preparation of two images, the start of
one job.
"""

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import torch
from rich.console import Console
from rich.progress import track

from rfbench.data.ddr import IMAGES as DDR_IMAGES
from rfbench.data.images import read_native
from rfbench.data.manifest import read_manifest
from rfbench.data.prepare import prepare_ddr, prepare_idrid, prepare_synthetic
from rfbench.data.store import bytes_of
from rfbench.devices import device_name, pick_device
from rfbench.errors import RFBenchError
from rfbench.evaluation.ground_truth import fit_diameter, fit_label
from rfbench.evaluation.recording import Recorder
from rfbench.evaluation.run import predict
from rfbench.losses import dice_loss
from rfbench.models import assemble
from rfbench.names import BASELINE_PAIR
from rfbench.profiling import profile
from rfbench.runs import manifest_path
from rfbench.settings import Dataset, Settings, run_names, run_settings
from rfbench.training.stream import TrainingStream

BUDGET = 60  # seconds for the passes of all pairs together
SMALL = 64  # px: side of the smaller measured size
FACTOR = 0.25  # length of the images generated for measuring, where the data set is not prepared
IDRID_IMAGES = {"train": 54, "val": 0, "test": 27}


def measure(settings: Settings) -> dict:
    """Measure this machine.

    Returns:
        `networks` by pair or variant, `images` by data set, `counting` (seconds to build one pair and count what its
        profile counts), `start` (seconds of a job before its work), device, threads and the sides of the squares.
    """
    device = pick_device(settings.device)
    torch.set_num_threads(settings.recipe.threads)
    runs = [pair for _, pair, _ in run_names(settings)]
    pairs = dict.fromkeys([*runs, BASELINE_PAIR, *settings.pairs])
    side = _affordable_side(settings, next(iter(pairs)), device, BUDGET / (3 * len(pairs)))
    console = Console(stderr=True)
    shown = {"console": console, "disable": not console.is_terminal}
    networks = {pair: measure_network(settings, pair, device, side) for pair in track(pairs, "networks", **shown)}
    images = {name: measure_images(settings, name, device) for name in track(settings.datasets, "images", **shown)}
    start = time.perf_counter()
    # What a job imports before its work; `--help` would not import torch.
    subprocess.run([sys.executable, "-c", "import rfbench.training.train"], check=True, capture_output=True)
    return {
        "device": device_name(device),
        "threads": settings.recipe.threads,
        "sides": [SMALL, side],
        "start": time.perf_counter() - start,
        "counting": _counting(profile.configured(settings), device),
        "networks": networks,
        "images": images,
    }


def _counting(conditions: profile.Conditions, device: torch.device) -> float:
    """Seconds to build a pair's network and to count its parameters, FLOPs and memory."""
    started = profile.clock(device)
    profile.build(conditions, conditions.pairs[-1], device)
    profile.count(conditions, conditions.pairs[-1], device)
    return profile.clock(device) - started


def _affordable_side(settings: Settings, pair: str, device: torch.device, limit: float) -> int:
    """The largest side, doubled from 128 px up to the largest crop's, at which a step takes at most `limit` seconds."""
    most = max(math.prod(dataset.crop) for dataset in settings.datasets.values())
    model, _ = _network(settings, pair, device)
    side = 2 * SMALL
    while (2 * side) ** 2 <= most:
        _step(model, side, device, settings.recipe.amp)
        if 4 * _step(model, side, device, settings.recipe.amp)[0] > limit:
            break
        side *= 2
    return side


def _network(settings: Settings, pair: str, device: torch.device) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A run's network and optimiser; its weights have torch's initial values, which no time depends on."""
    datasets = [name for name, own, _ in run_names(settings) if own == pair]
    dataset = (datasets or list(settings.datasets))[0]  # a pair that is only profiled has no run
    run = run_settings(settings, dataset, pair, 0)
    options = run.model.operator_options
    model = assemble(run.pair, run.model.backbone, len(run.dataset.lesions), operator_options=options).to(device)
    optimizer = run.recipe.optimizer.model_dump()
    return model, getattr(torch.optim, optimizer.pop("type"))(model.parameters(), **optimizer)


def measure_network(settings: Settings, pair: str, device: torch.device, side: int, passes: int = 2) -> dict:
    """Measure one pair at SMALL and at `side` pixels, batch 1, the fastest of `passes` after one to warm up.

    Returns:
        step and forward: constant and seconds per pixel; optimizer: seconds an update; bytes of the weights and of a
        checkpoint.
    """
    model, optimizer = _network(settings, pair, device)
    _step(model, SMALL, device, settings.recipe.amp)
    optimizer.step()
    started = profile.clock(device)
    optimizer.step()
    update = profile.clock(device) - started
    steps, forwards = [], []
    for size in (SMALL, side):
        timed = [_step(model, size, device, settings.recipe.amp) for _ in range(passes)]
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


def line(small: tuple[float, float], large: tuple[float, float]) -> tuple[float, float]:
    """Constant and slope through two measurements (pixels, seconds); proportional where noise leaves no slope."""
    (x0, y0), (x1, y1) = small, large
    slope = (y1 - y0) / (x1 - x0)
    if slope <= 0 or y0 < slope * x0:
        return 0.0, y1 / x1
    return y0 - slope * x0, slope


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


def measure_images(settings: Settings, name: str, device: torch.device) -> dict:
    """Measure a data set's images: as prepared, else on generated ones, scaled to the real ones by their pixels.

    Returns:
        Numbers of images by split; seconds an image to prepare, read, draw a sample of it once it is decoded, judge
        (all of an evaluation but the network); bytes an image, as prepared and of a training image decoded (stored);
        measured_on.

    Raises:
        RFBenchError: own data (kind folder) that are not prepared, so that the sizes of their images are unknown.
    """
    dataset = settings.datasets[name]
    with tempfile.TemporaryDirectory() as folder:
        manifest, ratio, prepare = _images_to_measure(settings, name, Path(folder))
        rows = read_manifest(manifest, "train", dataset.lesions)
        row = next(rows.itertuples())
        read = _fastest(lambda: read_native(manifest.parent, row))
        image, label = read_native(manifest.parent, row)
        draw = _drawing(TrainingStream(manifest, dataset, settings.recipe, seed=0), image, label, ratio)
        judge = _fastest(lambda: _judge(dataset, image, label, device), passes=1)
        kept = sum((manifest.parent / path).stat().st_size for path in (row.image, row.label))
        if dataset.kind == "synthetic":  # the generated archive stays, two images of it
            kept += sum(file.stat().st_size for file in (manifest.parent / "raw").rglob("*") if file.is_file()) // 2
        counts = _counts(settings, name)
    native = dataset.eval_size == "native"
    return counts | {
        "prepare": prepare * ratio,
        "read": read * ratio,
        "draw": draw,
        "judge": judge * (ratio if native else 1),
        "bytes": round(kept * ratio),
        "stored": round(bytes_of(rows["width"], rows["height"] * ratio).mean()),
        "measured_on": "prepared images" if not prepare else f"generated images, pixels x{ratio:g}",
    }


def _drawing(stream: TrainingStream, image, label, ratio: float) -> float:
    """Seconds to draw a sample of a decoded image that has `ratio` times the pixels of this one."""
    real = [
        cv2.resize(array, None, fx=ratio**0.5, fy=ratio**0.5, interpolation=cv2.INTER_NEAREST)
        for array in (image, label)
    ]
    stream.read = lambda folder, row: real
    draws = range(2 * len(stream.copies))
    return _fastest(lambda: [stream[draw] for draw in draws]) / len(draws)


def _images_to_measure(settings: Settings, name: str, folder: Path) -> tuple[Path, float, float]:
    """A manifest, the real images' pixels as a multiple of its images', seconds that preparing one of them took."""
    dataset, prepared = settings.datasets[name], manifest_path(settings.results, name)
    if prepared.exists() and not dataset.synthetic:
        return prepared, 1.0, 0.0
    if dataset.kind == "folder":
        raise RFBenchError(
            f"{prepared}: not found; until datasets.{name} is prepared, its images are unknown. "
            f"Prepare it first: snakemake --cores all {prepared}."
        )
    layout = dataset.layout
    full, seed = (dataset.synthetic.factor, dataset.synthetic.seed) if dataset.synthetic else (1.0, 0)
    factor = min(FACTOR, full)
    plan = {"train": 1, "test": 1, "factor": factor, "seed": seed, "layout": layout}
    started = time.perf_counter()
    manifest = prepare_synthetic(folder / "generated", **plan, progress=False)
    if not dataset.synthetic:
        ingest = prepare_ddr if layout == "ddr" else prepare_idrid
        started = time.perf_counter()
        manifest = ingest(folder / "generated" / "raw", folder / "out", expect_official=False, progress=False)
    return manifest, (full / factor) ** 2, (time.perf_counter() - started) / 2


def _counts(settings: Settings, name: str) -> dict[str, int]:
    """Numbers of images by split: configured, counted in the manifest, or the official release's."""
    dataset, prepared = settings.datasets[name], manifest_path(settings.results, name)
    if not dataset.synthetic and prepared.exists():
        splits = read_manifest(prepared)["split"]
        return {split: int((splits == split).sum()) for split in ("train", "val", "test")}
    if dataset.synthetic:
        counts = dataset.synthetic.model_dump(include={"train", "val", "test"})
    else:
        counts = dict(DDR_IMAGES if dataset.kind == "ddr" else IDRID_IMAGES)
    held = dataset.validation.count if dataset.validation else 0
    return counts | {"train": counts["train"] - held, "val": counts["val"] + held}


def _judge(dataset: Dataset, image, label, device: torch.device) -> None:
    """All of an image's evaluation but reading it and the network."""
    recorder, scale, eval_size = Recorder(dataset.lesions), dataset.scale, dataset.eval_size
    target = torch.from_numpy(fit_label(label, scale, eval_size)).to(device)
    maps = predict(_Nothing(len(dataset.lesions), device), image, scale, device, eval_size)
    recorder.update("image", maps, target, fit_diameter(image, scale, eval_size))


class _Nothing(torch.nn.Module):
    """A network that costs nothing."""

    def __init__(self, lesions: int, device: torch.device) -> None:
        super().__init__()
        self.lesions, self.device = lesions, device

    def normalise(self, images: list) -> torch.Tensor:
        return torch.stack([image.float() for image in images]).to(self.device)

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
