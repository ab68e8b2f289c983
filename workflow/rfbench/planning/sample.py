"""A quick sample of what a configuration's parts cost on this machine.

Each competitor's update by a batch as configured, as trainings compute it, and its forward pass; reading samples,
drawing them, and loading them by as many processes as configured; counting the parameters and FLOPs of one network, the
evaluation of an image without its network, the preparation of two images, the start of one job.
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

from rfbench import competitors
from rfbench.competitors import methods
from rfbench.data.ddr import IMAGES as DDR_IMAGES
from rfbench.data.images import read_native
from rfbench.data.manifest import read_manifest
from rfbench.data.prepare import prepare_ddr, prepare_idrid, prepare_synthetic
from rfbench.data.store import bytes_of
from rfbench.devices import device_name, pick_device
from rfbench.errors import RFBenchError
from rfbench.evaluation.ground_truth import fit_diameter, fit_label
from rfbench.evaluation.recording import Recorder
from rfbench.evaluation.run import counting_threads, predict
from rfbench.models import assemble
from rfbench.names import BASELINE_PAIR
from rfbench.precision import set_precision
from rfbench.profiling import profile
from rfbench.runs import manifest_path
from rfbench.settings import Dataset, Recipe, Settings, recipe_of, run_names, run_settings
from rfbench.training import memory
from rfbench.training.loop import loader
from rfbench.training.step import Update
from rfbench.training.stream import TrainingStream

BUDGET = 60  # seconds for the passes of all competitors together
SMALL = 64  # px: side of the smaller measured size
FACTOR = 0.25  # length of the images generated for measuring, where the data set is not prepared
IDRID_IMAGES = {"train": 54, "val": 0, "test": 27}


def measure(settings: Settings) -> dict:
    """Measure this machine.

    Returns:
        `networks` by competitor, `images` by data set, `counting` (seconds to build one network and count what its
        profile counts), `start` (seconds of a job before its work), device, threads and `halvings` of the crops' sides.
    """
    device = pick_device(settings.device)
    torch.set_num_threads(settings.recipe.threads)
    runs = [competitor for _, competitor, _ in run_names(settings)]
    names = dict.fromkeys([*runs, BASELINE_PAIR, *settings.pairs, *settings.methods])
    set_precision(tf32=settings.recipe.tf32, cudnn_benchmark=settings.recipe.cudnn_benchmark)
    halvings = _affordable(settings, next(iter(names)), device, BUDGET / (3 * len(names)))
    console = Console(stderr=True)
    shown = {"console": console, "disable": not console.is_terminal}
    networks = {name: measure_network(settings, name, device, halvings) for name in track(names, "networks", **shown)}
    images = {name: measure_images(settings, name, device) for name in track(settings.datasets, "images", **shown)}
    start = time.perf_counter()
    # What a job imports before its work; `--help` would not import torch.
    subprocess.run([sys.executable, "-c", "import rfbench.training.train"], check=True, capture_output=True)
    return {
        "device": device_name(device),
        "threads": settings.recipe.threads,
        "halvings": halvings,
        "start": time.perf_counter() - start,
        "counting": _counting(profile.configured(settings), device),
        "networks": networks,
        "images": images,
    }


def _counting(conditions: profile.Conditions, device: torch.device) -> float:
    """Seconds to build a competitor's network and to count its parameters, FLOPs and memory."""
    started = profile.clock(device)
    profile.build(conditions, conditions.pairs[-1], device)
    profile.count(conditions, conditions.pairs[-1], device)
    return profile.clock(device) - started


def _sides(settings: Settings, competitor: str) -> tuple[int, int]:
    """(width, height) of the largest crop that a competitor is trained on; of any, if it is only profiled."""
    own = [settings.datasets[name].crop for name, trained, _ in run_names(settings) if trained == competitor]
    return max(own or [dataset.crop for dataset in settings.datasets.values()], key=math.prod)


def _least(competitor: str) -> int:
    """Shortest side that is measured of a competitor."""
    return max(SMALL, methods.method(competitor).minimum) if competitors.is_method(competitor) else SMALL


def _shorter(crop: tuple[int, int], halvings: int, least: int) -> tuple[int, int]:
    """The crop with its sides halved so many times, none below `least`."""
    return tuple(max(side >> halvings, least) for side in crop)


def _two(crop: tuple[int, int], halvings: int, least: int) -> list[tuple[int, int]]:
    """The smallest size and the shortened crop's; of a crop that is the smallest, this and its double."""
    large = _shorter(crop, halvings, least)
    return [(least, least), large] if large != (least, least) else [large, (2 * least, 2 * least)]


def _affordable(settings: Settings, competitor: str, device: torch.device, limit: float) -> int:
    """How often a crop's sides are halved, so that an update takes at most `limit` seconds; never on a GPU."""
    crop = _sides(settings, competitor)
    halvings = 0 if device.type == "cuda" else max(0, math.floor(math.log2(max(crop) / SMALL)))
    update, recipe, least = _update(settings, competitor, device), recipe_of(settings, competitor), _least(competitor)
    while halvings:
        _seconds(update, recipe, _shorter(crop, halvings, least))
        if 4 * _seconds(update, recipe, _shorter(crop, halvings, least)) > limit:
            break
        halvings -= 1
    return halvings


def _update(settings: Settings, competitor: str, device: torch.device) -> Update:
    """A run's update as it trains, but uncompiled; its weights have torch's initial values, no time depends on them."""
    datasets = [name for name, own, _ in run_names(settings) if own == competitor]
    dataset = (datasets or list(settings.datasets))[0]  # one that is only profiled has no run
    run = run_settings(settings, dataset, competitor, 0)
    options = {"operator_options": run.model.operator_options, "method_options": run.model.method_options}
    model = assemble(run.pair, run.model.backbone, len(run.dataset.lesions), **options).to(device)
    return Update(model.train(), run.recipe.model_copy(update={"compile": False}))


def _seconds(update: Update, recipe: Recipe, crop: tuple[int, int]) -> float:
    """Seconds of an update by a batch as configured, of crops of this size."""
    shape = recipe.batch_size, 3, *reversed(crop)
    image, label = profile.synthetic_batch(shape, update.device)
    started = profile.clock(update.device)
    update(image, label, recipe.optimizer.lr)
    return profile.clock(update.device) - started


@torch.inference_mode()
def _forward(model: torch.nn.Module, size: tuple[int, int], device: torch.device) -> float:
    """Seconds of a network's pass over one image."""
    image = torch.randn(1, 3, *reversed(size), device=device)
    started = profile.clock(device)
    model(image)
    return profile.clock(device) - started


def measure_network(settings: Settings, competitor: str, device: torch.device, halvings: int, passes: int = 2) -> dict:
    """Measure one competitor's update and forward pass, each the fastest of `passes` after one to warm up.

    Args:
        halvings: of the crop's sides, where an update as configured takes too long; 0 measures what is trained.

    Returns:
        update: constant and seconds per pixel of a crop, of an update by a batch as configured; forward: the same of a
        pass over one image; measured: the (width, height) of crops that they were measured at; bytes of the
        weights and of a checkpoint; memory: None, or what to do where an update as configured needs more than there is.
    """
    crop, short = _sides(settings, competitor), None
    update, recipe, least = _update(settings, competitor, device), recipe_of(settings, competitor), _least(competitor)
    sizes = _two(crop, halvings, least)
    try:
        updates = _timed(lambda size: _seconds(update, recipe, size), sizes, passes)
    except (RuntimeError, MemoryError) as error:
        if not memory.is_out_of_memory(error):
            raise
        short = memory.reason(error, recipe)
        update = _update(settings, competitor, device)
        sizes = _two(crop, halvings + 2, least)
        updates = _timed(lambda size: _seconds(update, recipe, size), sizes, passes)
    model = update.model.eval()
    weights = _bytes(model.state_dict().values())
    state = [tensor for entry in update.optimizer.state.values() for tensor in entry.values()]
    return {
        "update": line(*updates),
        "forward": line(*_timed(lambda size: _forward(model, size, device), sizes, passes)),
        "measured": sizes,
        "bytes": weights,
        "checkpoint": weights + _bytes(filter(torch.is_tensor, state)),
        "memory": short,
    }


def _timed(work: Callable, sizes: list[tuple[int, int]], passes: int) -> list[tuple[int, float]]:
    """(pixels, seconds) of the fastest pass at each size, after one to warm up."""
    timed = []
    for size in sizes:
        work(size)
        timed.append((math.prod(size), min(work(size) for _ in range(passes))))
    return timed


def line(small: tuple[float, float], large: tuple[float, float]) -> tuple[float, float]:
    """Constant and slope through two measurements (pixels, seconds); proportional where noise leaves no slope."""
    (x0, y0), (x1, y1) = small, large
    slope = (y1 - y0) / (x1 - x0)
    if slope <= 0 or y0 < slope * x0:
        return 0.0, y1 / x1
    return y0 - slope * x0, slope


def _bytes(tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def measure_images(settings: Settings, name: str, device: torch.device) -> dict:
    """Measure a data set's images: as prepared, else on generated ones, scaled to the real ones by their pixels.

    Returns:
        Numbers of images by split; seconds an image to prepare, read, draw a sample of it once it is decoded (by one
        process), load one (by those of recipe.workers together), judge (all of an evaluation but the network); bytes an
        image, as prepared and of a training image decoded (stored); measured_on.

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
        stream = TrainingStream(manifest, dataset, settings.recipe, seed=0)
        draw = _drawing(stream, image, label, ratio)
        load = _loading(stream, dataset, settings.recipe) if settings.recipe.workers else draw
        judge = _fastest(lambda: _judge(settings, name, image, label, device), passes=1)
        kept = sum((manifest.parent / path).stat().st_size for path in (row.image, row.label))
        if dataset.kind == "synthetic":  # the generated archive stays, two images of it
            kept += sum(file.stat().st_size for file in (manifest.parent / "raw").rglob("*") if file.is_file()) // 2
        counts = _counts(settings, name)
    native = dataset.eval_size == "native"
    return counts | {
        "prepare": prepare * ratio,
        "read": read * ratio,
        "draw": draw,
        "load": load,
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


def _loading(stream: TrainingStream, dataset: Dataset, recipe: Recipe) -> float:
    """Seconds a sample that the loader of a training delivers, once its processes are at work."""
    first, timed = recipe.workers, 2 * recipe.workers  # batches
    batches = iter(loader(stream, range((first + timed) * recipe.batch_size), recipe, dataset.crop))
    for _ in range(first):
        next(batches)
    started = time.perf_counter()
    delivered = sum(len(images) for images, _ in batches)
    return (time.perf_counter() - started) / delivered


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


def _judge(settings: Settings, name: str, image, label, device: torch.device) -> None:
    """All of an image's evaluation but reading it and the network."""
    dataset = settings.datasets[name]
    recorder = Recorder(dataset.lesions, counting_threads(settings.recipe, device))
    scale, eval_size = dataset.scale, dataset.eval_size
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
