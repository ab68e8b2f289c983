"""Checkpoints: damaged files, foreign tensors, and a meta of any values."""

import io
import math
import re
from pathlib import Path

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

import rfbench
from rfbench.errors import RFBenchError
from rfbench.evaluation import trained
from rfbench.models.checkpoint import load_backbone_weights, load_checkpoint, read_meta
from rfbench.names import LARGEST_FRAME

from .standard import NAMES, PLAIN, damaged, held

pytestmark = pytest.mark.slow

KEYS = (*trained.NETWORK, *trained.PHOTOGRAPH)
NOTHING = dict.fromkeys(KEYS)


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def build() -> torch.nn.Module:
    return rfbench.build_model("strideconv_bilinear", "hrnetv2_embedded")


@pytest.fixture(scope="module")
def sound() -> dict[str, torch.Tensor]:
    return build().state_dict()


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    """What damaged files are loaded into; one that is refused late may have changed it."""
    return build()


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("weights") / "model.pth"


def check_meta(meta: dict) -> None:
    """What `read_meta` passes on is what `predict` builds file names and images of."""
    assert set(meta) <= set(KEYS)
    for lesion in meta.get("lesions", []):
        assert re.fullmatch("[A-Z][A-Za-z0-9-]{0,19}", lesion)
    assert len(set(meta.get("lesions", []))) == len(meta.get("lesions", []))
    for key, low in (("mean", 0), ("std", 5e-324)):
        if key in meta:
            assert len(meta[key]) == 3
            assert all(math.isfinite(value) and low <= value <= 255 for value in meta[key])
    if "scale" in meta:
        width, height = meta["scale"]
        assert min(width, height) >= 64
        assert width * height <= LARGEST_FRAME


METAS = st.one_of(
    st.dictionaries(st.one_of(st.sampled_from(KEYS), NAMES), PLAIN, max_size=5),
    st.fixed_dictionaries({}, optional={
        "lesions": st.lists(st.one_of(st.sampled_from(["EX", "HE"]), NAMES, PLAIN), max_size=4),
        "scale": st.lists(st.one_of(st.integers(-10, 40000), PLAIN), min_size=1, max_size=3),
        "mean": st.lists(st.one_of(st.floats(), PLAIN), min_size=2, max_size=4),
        "std": st.lists(st.one_of(st.floats(), PLAIN), min_size=2, max_size=4),
    }),
    PLAIN,
)  # fmt: skip


@given(meta=METAS)
@example(meta={"lesions": ["/../../x"]})
@example(meta={"lesions": ["EX", "EX", "SE", "MA"]})
@example(meta={"lesions": [1, 2]})
@example(meta={"lesions": "EX"})
@example(meta={"scale": [0, 0]})
@example(meta={"scale": [-5, 5]})
@example(meta={"scale": "ab"})
@example(meta={"scale": [10**6] * 2})
@example(meta={"mean": [1, 2]})
@example(meta={"mean": [float("nan"), 1, 1]})
@example(meta={"std": [0, 1, 1]})
@example(meta={"pair": ["m2mrf_c"]})
def test_meta(path, meta):
    path.write_bytes(saved({"state_dict": {}, "meta": meta}))
    said = held(lambda: read_meta(path))
    if not isinstance(said, RFBenchError):
        check_meta(said)
        settled = held(lambda: trained.settle(path, NOTHING, "idrid"))
        if not isinstance(settled, RFBenchError):
            check_meta({key: settled[0]["dataset"][key] for key in ("lesions", "scale", "mean", "std")})


@given(given=st.fixed_dictionaries({key: st.one_of(st.none(), PLAIN) for key in KEYS}))
def test_options(path, given):
    path.write_bytes(saved({"state_dict": {}}))
    settled = held(lambda: trained.settle(path, given, "idrid"))
    if not isinstance(settled, RFBenchError):
        check_meta({key: settled[0]["dataset"][key] for key in ("lesions", "scale", "mean", "std")})


OPTIONS = st.dictionaries(
    st.sampled_from(["m2mrf", "carafe", "lip", "x"]),
    st.dictionaries(
        st.sampled_from(["patch_size", "alpha", "up_kernel", "x"]),
        st.one_of(PLAIN, st.integers(-9, 10**7)),
        max_size=2,
    ),
    max_size=2,
)


@given(pair=st.sampled_from(["m2mrf_a", "m2mrf_c", "carafe_carafe", "a2u", "no_such"]), options=OPTIONS)
@example(pair="m2mrf_c", options={"m2mrf": {"patch_size": 10**7}})
def test_operator_options(path, pair, options):
    meta = {"pair": pair, "backbone": "hrnetv2_embedded", "operator_options": options}
    path.write_bytes(saved({"state_dict": {"x": torch.zeros(1)}, "meta": meta}))
    settled = held(lambda: trained.settle(path, NOTHING, "idrid"))
    if not isinstance(settled, RFBenchError):
        assert isinstance(held(lambda: trained.network(settled[0], path, "cpu")), RFBenchError)


def check_weights(network: torch.nn.Module) -> None:
    for tensor in network.state_dict().values():
        assert tensor.isfinite().all()


@given(data=st.data())
def test_bytes_of_a_checkpoint(path, model, sound, data):
    small = {name: tensor for name, tensor in sound.items() if "transition" in name or "conv_seg" in name}
    path.write_bytes(data.draw(damaged(saved({"state_dict": small, "meta": {"pair": "strideconv_bilinear"}}))))
    held(lambda: read_meta(path))
    held(lambda: load_checkpoint(model, path))
    held(lambda: load_backbone_weights(model, path))


TENSORS = st.one_of(
    st.sampled_from([
        torch.zeros(1), torch.zeros(4), torch.full((4,), float("nan")), torch.zeros(4, dtype=torch.complex64),
        torch.eye(4).to_sparse(), torch.zeros(1).expand(1 << 40), torch.zeros(0), torch.zeros(4, dtype=torch.bool),
        torch.full((4,), 1e300, dtype=torch.float64), torch.zeros(4, dtype=torch.float8_e4m3fn), torch.ones(4) * -1,
        torch.zeros((), dtype=torch.int64),
    ]),
    PLAIN,
)  # fmt: skip


@given(data=st.data())
def test_foreign_tensors(path, sound, data):
    weights = dict(sound)
    names = data.draw(st.lists(st.sampled_from(sorted(weights)), min_size=1, max_size=3, unique=True))
    for name in names:
        weights[name] = data.draw(TENSORS)
    weights |= data.draw(st.dictionaries(NAMES, TENSORS, max_size=1))
    try:
        path.write_bytes(saved({"state_dict": weights}))
    except (NotImplementedError, RuntimeError):  # a tensor that cannot be saved comes from no file
        return
    network = build()
    if not isinstance(held(lambda: load_checkpoint(network, path)), RFBenchError):
        check_weights(network)


def test_a_sound_one_loads(path, sound):
    path.write_bytes(saved({"state_dict": sound, "meta": {"pair": "strideconv_bilinear"}}))
    load_checkpoint(build(), path)
    assert read_meta(path) == {"pair": "strideconv_bilinear"}
