"""Parameters, FLOPs, memory of a training step and speed of operator pairs and methods.

Frames per second mean little across machines, so every round times each network in turn, the baseline among them, and
a competitor's ratio is the median over the rounds of baseline seconds / own seconds of the same round (evaluation mode,
eager unless compiled). FLOPs and, on a CPU, memory are counted on the device `meta`, without computing.
"""

import itertools
import json
import math
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import cache, partial

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

import operators
from rfbench import competitors, devices
from rfbench.competitors import methods
from rfbench.devices import pick_device
from rfbench.errors import RFBenchError
from rfbench.models import assemble, build_model, count_parameters
from rfbench.models.fuse import fuse
from rfbench.models.method import MethodSegmentor
from rfbench.names import BASELINE_PAIR, LESIONS, PRECISIONS
from rfbench.precision import set_precision
from rfbench.profiling import flops
from rfbench.profiling.memory import saved_bytes, take_lone_values
from rfbench.settings import Settings, Training
from rfbench.training.compiling import compiled
from rfbench.training.step import Update

PAPER = {"backbone": "hrnetv2_w48", "size": [512, 512], "batch": 1, "dtype": "float32"}  # of flops_w48, memory_w48
DTYPES = dict(zip(PRECISIONS, (torch.float32, torch.float32, torch.bfloat16), strict=True))
LEAST_SECONDS = 0.05  # of one timing: shorter passes are repeated


@dataclass(frozen=True)
class Conditions:
    """What is profiled, and how.

    Args:
        pairs: operator pairs and methods, under the record's name for both.
        size: width and height of the images, px.
        dtype: float32; tf32, float32 with TF32 matrix products (GPU); or bfloat16, of weights and images
            (of methods under autocast).
        fused: pairs whose form for inference (`rfbench.fuse`) is timed, too.
        compiled: pairs and methods that are timed under `torch.compile`, too.
        paper: count FLOPs and memory of the paper's network as well.
    """

    pairs: tuple[str, ...]
    backbone: str = "hrnetv2_w48"
    operator_options: dict = field(default_factory=dict)
    method_options: dict = field(default_factory=dict)
    size: tuple[int, int] = (512, 512)
    batch: int = 1
    rounds: int = 9
    threads: int = 1
    device: str = "auto"
    dtype: str = "float32"
    channels_last: bool = False
    fused: tuple[str, ...] = ()
    compiled: tuple[str, ...] = ()
    paper: bool = True

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, 3, H, W) of the images."""
        return self.batch, 3, self.size[1], self.size[0]

    @property
    def memory_format(self) -> torch.memory_format:
        """Order of the dimensions in memory."""
        return torch.channels_last if self.channels_last else torch.contiguous_format


def profile(conditions: Conditions) -> dict:
    """Count and time.

    Returns:
        The record: `pairs` by name (see `_record`), the conditions, how memory was measured, the baseline's
        seconds a round, provenance.
    """
    device = _prepare(conditions)
    counted, networks, shared = {}, {}, {}
    for competitor in _progress(dict.fromkeys((BASELINE_PAIR, *conditions.pairs)), "counting"):
        before = torch.cuda.memory_allocated() if device.type == "cuda" else 0
        model = build(conditions, competitor, device)
        if competitor in conditions.pairs:
            counted[competitor] = count(conditions, competitor, device)
            if device.type == "cuda":
                counted[competitor]["memory"] = _peak(conditions, model) - before
        forms = _forms(conditions, competitor, model)
        for (_, form), network in forms.items():
            _share(network, shared.setdefault(form, {}))
        networks |= forms
    seconds, first = _time_all(networks, torch.randn(conditions.shape, device=device), conditions)
    baseline = seconds[BASELINE_PAIR, "plain"]
    return {
        **recorded(conditions),
        "pairs": {name: _record(conditions, name, counted[name], seconds, first) for name in conditions.pairs},
        "baseline": BASELINE_PAIR,
        "baseline_seconds": baseline,
        "memory_kind": "max_memory_allocated" if device.type == "cuda" else "saved for backward",
        "provenance": devices.provenance_on(device),
    }


def recorded(conditions: Conditions) -> dict:
    """The conditions as a record holds them; there, `pairs` are their results."""
    found = {**asdict(conditions), "paper": PAPER if conditions.paper else None}
    if not conditions.method_options:
        del found["method_options"]  # as before there were methods
    return found


def _options(conditions: Conditions) -> dict:
    """The options that networks are built with."""
    return {"operator_options": conditions.operator_options, "method_options": conditions.method_options}


def _prepare(conditions: Conditions) -> torch.device:
    """Refuse what cannot be profiled; set threads and precision."""
    for name in (*conditions.pairs, *conditions.fused, *conditions.compiled):
        competitors.row(name)
    device = pick_device(conditions.device)
    if conditions.dtype == "tf32" and device.type != "cuda":
        raise RFBenchError(f"--dtype tf32: expected a GPU, found {device.type}. Use float32 or bfloat16.")
    torch.set_num_threads(conditions.threads)
    set_precision(tf32=conditions.dtype == "tf32", cudnn_benchmark=True)
    return device


def build(conditions: Conditions, competitor: str, device: torch.device) -> nn.Module:
    """The competitor's network on the device, in the type and memory format to measure."""
    with torch.device(device):
        model = build_model(competitor, conditions.backbone, len(LESIONS), **_options(conditions))
    return _of_type(model, DTYPES[conditions.dtype]).to(memory_format=conditions.memory_format)


def _of_type(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The network with weights of this type. A method's takes some steps in float32, so that in bfloat16 it needs
    autocast, which brings every layer's input to the weights' type."""
    model = model.to(dtype)
    if isinstance(model, MethodSegmentor) and dtype == torch.bfloat16:
        model.forward = torch.autocast(next(model.parameters()).device.type, dtype)(model.forward)
    return model


def _forms(conditions: Conditions, competitor: str, model: nn.Module) -> dict[tuple[str, str], nn.Module]:
    """(competitor, form) -> network for inference; the forms are plain, fused and compiled."""
    networks = {(competitor, "plain"): model.eval()}
    if competitor in conditions.fused:
        networks[competitor, "fused"] = fuse(model)
    if competitor in conditions.compiled:
        networks[competitor, "compiled"] = compiled(model)
    return networks


def _share(network: nn.Module, tensors: dict) -> None:
    """Let the network hold the parameters of one before it that has them, too, by name and shape.

    All networks are held at once, to be timed in turn, and most of their parameters are not the operators'. A time does
    not depend on the values, and a network holds none of its own tensors twice.
    """
    for name, parameter in network.named_parameters():
        parameter.data = tensors.setdefault((name, parameter.shape), parameter.data)


def count(conditions: Conditions, competitor: str, device: torch.device) -> dict:
    """What needs no computing: parameters, FLOPs, bytes saved for backward; of the paper's network, too."""
    # FLOPs do not depend on the type, and a GPU's memory is measured: its precisions are counted once.
    dtype = torch.float32 if device.type == "cuda" else DTYPES[conditions.dtype]
    options, fused = json.dumps(_options(conditions), sort_keys=True), competitor in conditions.fused
    return dict(_counted(competitor, conditions.backbone, options, conditions.shape, dtype, conditions.paper, fused))


@cache
def _counted(
    competitor: str, backbone: str, options: str, shape: tuple[int, ...], dtype: torch.dtype, paper: bool, fused: bool
) -> dict:
    """`count`, of which several precisions in one process share what they can; options as JSON."""
    with torch.device("meta"):
        model = assemble(competitor, backbone, len(LESIONS), **json.loads(options)).to(dtype)
        w48 = assemble(competitor, PAPER["backbone"], len(LESIONS))
    counts = {"params": count_parameters(model), "params_w48": count_parameters(w48)}
    is_method = competitors.is_method(competitor)
    declared = methods.method(competitor).parameters if is_method else operators.get(competitor).params
    counts["params_w48_expected"] = declared
    computed = partial(_on_cpu, competitor) if is_method else None
    counts["flops"], counts["memory"] = _cost_of(model, computed and partial(computed, backbone, options), shape)
    if paper:
        width, height = PAPER["size"]
        whole = computed and partial(computed, PAPER["backbone"], "{}")
        counts["flops_w48"], counts["memory_w48"] = _cost_of(w48, whole, (PAPER["batch"], 3, height, width))
    if fused:
        shorter = fuse(model)
        with torch.no_grad(), flops.counter() as counter:
            shorter(torch.randn(shape, device="meta", dtype=dtype))
        counts["fused"] = {"params": count_parameters(shorter), "flops": counter.get_total_flops()}
    return counts


def _on_cpu(competitor: str, backbone: str, options: str) -> nn.Module:
    return assemble(competitor, backbone, len(LESIONS), **json.loads(options))


def _cost_of(model: nn.Module, computed: Callable[[], nn.Module] | None, shape: tuple[int, ...]) -> tuple[int, int]:
    """`_cost` of a network on `meta`; of a method whose pass asks for values or autocast, neither of which `meta` has,
    computed."""
    dtype = next(model.parameters()).dtype
    try:
        return _cost(model, shape, dtype)
    except (NotImplementedError, RuntimeError):
        if computed is None:
            raise
        return _cost(_of_type(computed(), dtype), shape, dtype)


def _cost(model: nn.Module, shape: tuple[int, ...], dtype: torch.dtype) -> tuple[int, int]:
    """FLOPs of a forward pass and the bytes that it keeps for backward."""
    if isinstance(model, MethodSegmentor):
        take_lone_values(model)
    with flops.counter() as counter:
        memory = saved_bytes(model.train(), shape, dtype)
    return counter.get_total_flops(), memory


def _peak(conditions: Conditions, model: nn.Module) -> int:
    """Most bytes that the GPU holds in a training step (`Update` without its optimiser), with weights and gradients."""
    device = next(model.parameters()).device
    image, label = synthetic_batch(conditions.shape, device)
    image = image.to(DTYPES[conditions.dtype])
    if isinstance(model, MethodSegmentor):
        take_lone_values(model)
    update = Update(model.train(), Training(channels_last=conditions.channels_last))
    for _ in range(2):  # in the first step cuDNN tries algorithms that need more room than the one it takes
        torch.cuda.reset_peak_memory_stats()
        update.backward(image, label)
        model.zero_grad()
    return torch.cuda.max_memory_allocated()


def synthetic_batch(shape: tuple[int, ...], device: torch.device, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise (N, 3, H, W) that the lesions colour, and their label maps (N, H, W); a function of the seed."""
    generator = torch.Generator(device).manual_seed(seed)
    coarse = torch.randn((shape[0], 1, shape[2] // 16, shape[3] // 16), generator=generator, device=device)
    field = F.interpolate(coarse, shape[2:], mode="bilinear")[:, 0]
    label = torch.bucketize(field, torch.tensor([0.8, 1.0, 1.2, 1.4], device=device))  # 0 background, 1…4 lesions
    colours = torch.tensor([[0, 0, 0], [2, 2, 0], [-2, -1, 0], [0, 2, 2], [1, -2, 1]], device=device)
    noise = torch.randn(shape, generator=generator, device=device)
    return noise + colours[label].movedim(-1, 1), label


def _time_all(
    networks: dict, image: Tensor, conditions: Conditions
) -> tuple[dict[tuple, list[float]], dict[tuple, float]]:
    """Seconds of one pass, by network: every round's, and those of the very first pass."""
    image = image.to(DTYPES[conditions.dtype], memory_format=conditions.memory_format)
    seconds: dict[tuple, list[float]] = {key: [] for key in networks}
    first, repeats = {}, {}
    with torch.inference_mode():
        for key in _progress(networks, "warming up"):
            first[key] = _seconds(networks[key], image, 1)
            repeats[key] = math.ceil(LEAST_SECONDS / _seconds(networks[key], image, 1))
        turns = list(itertools.product(range(conditions.rounds), networks))
        for _, key in _progress(turns, "timing"):
            seconds[key].append(_seconds(networks[key], image, repeats[key]))
    return seconds, first


def _seconds(network: nn.Module, image: Tensor, repeats: int) -> float:
    """Mean wall time of a pass."""
    start = clock(image.device)
    for _ in range(repeats):
        network(image)
    return (clock(image.device) - start) / repeats


def clock(device: torch.device) -> float:
    """Wall time in seconds, once everything that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _record(conditions: Conditions, competitor: str, counts: dict, seconds: dict, first: dict) -> dict:
    """Counts and speed: `fps`, `fps_ratio` to the baseline's plain form, and the same of other forms."""
    baseline, plain = seconds[BASELINE_PAIR, "plain"], seconds[competitor, "plain"]
    record = {"row": competitors.row(competitor), **counts, **_speed(plain, baseline, conditions.batch)}
    for form in ("fused", "compiled"):
        if (competitor, form) in seconds:
            own = seconds[competitor, form]
            record[form] = {
                **counts.get(form, {}),
                **_speed(own, baseline, conditions.batch),
                **_ratio("own_ratio", plain, own),
                "first_pass_seconds": first[competitor, form],
            }
    return record


def _speed(own: list[float], baseline: list[float], batch: int) -> dict:
    return {"seconds": own, "fps": batch / statistics.median(own), **_ratio("fps_ratio", baseline, own)}


def _ratio(name: str, reference: list[float], own: list[float]) -> dict[str, float]:
    """Median, smallest and largest over the rounds of reference seconds / own seconds."""
    ratios = [theirs / ours for theirs, ours in zip(reference, own, strict=True)]
    return {name: statistics.median(ratios), f"{name}_min": min(ratios), f"{name}_max": max(ratios)}


def _progress(items: Iterable, label: str) -> Iterable:
    console = Console(stderr=True)
    return track(list(items), label, console=console, disable=not console.is_terminal)


def configured(settings: Settings) -> Conditions:
    """The conditions that a configuration profiles under."""
    return Conditions(
        (*settings.pairs, *settings.methods),
        backbone=settings.model.backbone,
        operator_options=settings.model.operator_options,
        method_options=settings.model.method_options,
        size=settings.profile.size,
        rounds=settings.profile.rounds,
        threads=settings.recipe.threads,
        device=settings.device,
        fused=settings.pairs if settings.profile.fused else (),
        paper=settings.profile.paper,
    )
