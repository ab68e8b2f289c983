"""Weights from files: the M2MRF authors' names written out here, ImageNet backbones, and refusals."""

import os
import pickle
import re
import zipfile

import pytest
import torch
from mmseg.models.backbones import HRNet

import rfbench
from rfbench.errors import RFBenchError
from rfbench.models import backbones
from rfbench.models.checkpoint import load_backbone_weights, read_meta

C = (8, 16, 32, 64)  # hrnetv2_embedded
EMBEDDED = backbones.configuration("hrnetv2_embedded")


class Authors:
    """A whole state_dict in the names and shapes of the authors' code, filled with random tensors."""

    def __init__(self, down: str, up: str):
        self.tensors = {}
        plain = HRNet(EMBEDDED).state_dict()  # what is not replaced has mmseg's names
        replaced = re.compile(r"fuse_layers\.|transition1\.1\.|transition2\.2\.|transition3\.3\.")
        for name, tensor in plain.items():
            if not replaced.search(name):
                self.add(f"backbone.{name}", *tensor.shape)
        for n, (c_in, c_out) in enumerate([(64, 16), (16, 32), (32, 64)], start=1):
            self.down_step(f"backbone.transition{n}.{n}.0", 1 / 2, c_in, c_out)
        for n in (2, 3, 4):
            for i in range(n):
                for j in range(n):
                    if i != j:
                        fill = getattr(self, f"{down}_down" if i > j else f"{up}_up")
                        fill(f"backbone.stage{n}.0.fuse_layers.{i}.{j}", C[j], C[i], abs(i - j))
        self.add("decode_head.convs.0.conv.weight", 120, 120, 1, 1)
        self.norm("decode_head.convs.0.bn", 120)
        self.add("decode_head.conv_seg.weight", 4, 120, 1, 1)
        self.add("decode_head.conv_seg.bias", 4)

    def add(self, name, *shape):
        if name.endswith("num_batches_tracked"):
            self.tensors[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            self.tensors[name] = torch.rand(shape) + 0.5
        else:
            self.tensors[name] = torch.randn(shape) * 0.1

    def norm(self, name, channels):
        for part in ("weight", "bias", "running_mean", "running_var"):
            self.add(f"{name}.{part}", channels)
        self.add(f"{name}.num_batches_tracked")

    def operator(self, name, scale, c_in, c_out, patch=8):
        e = c_in // 4
        f, out = patch * patch * e // 64, int(patch * scale)
        self.add(f"{name}.sample_encode_conv.weight", e, c_in, 1, 1)
        self.add(f"{name}.sample_encode_conv.bias", e)
        self.add(f"{name}.sample.sample_fc.weight", f, patch * patch * e, 1)
        self.add(f"{name}.sample.sample_fc.bias", f)
        self.add(f"{name}.sample.sample_fc1.weight", out * out * e, f, 1)
        self.add(f"{name}.sample.sample_fc1.bias", out * out * e)
        self.add(f"{name}.sample_decode_conv.weight", c_out, e, 1, 1)
        self.add(f"{name}.sample_decode_conv.bias", c_out)

    def down_step(self, name, scale, c_in, c_out):
        self.operator(f"{name}.0", scale, c_in, c_out)
        self.norm(f"{name}.1", c_out)

    def onestep_down(self, name, c_in, c_out, steps):
        self.down_step(f"{name}.0", 2**-steps, c_in, c_out)

    def cascade_down(self, name, c_in, c_out, steps):
        for k in range(steps):
            self.down_step(f"{name}.{k}", 1 / 2, c_in, c_out if k == steps - 1 else c_in)

    def strideconv_down(self, name, c_in, c_out, steps):
        for k in range(steps):
            width = c_out if k == steps - 1 else c_in
            self.add(f"{name}.{k}.0.weight", width, c_in, 3, 3)
            self.norm(f"{name}.{k}.1", width)

    def lateral(self, name, c_in, c_out):
        self.add(f"{name}.0.weight", c_out, c_in, 1, 1)
        self.norm(f"{name}.1", c_out)

    def bilinear_up(self, name, c_in, c_out, steps):
        self.lateral(name, c_in, c_out)

    def onestep_up(self, name, c_in, c_out, steps):
        self.lateral(name, c_in, c_out)
        self.operator(f"{name}.2", 2**steps, c_out, c_out)

    def cascade_up(self, name, c_in, c_out, steps):
        self.lateral(name, c_in, c_out)
        for k in range(steps):
            self.operator(f"{name}.sample_{k}", 2, c_out, c_out)


PAIRS = {
    "m2mrf_a": ("onestep", "onestep"),
    "m2mrf_b": ("onestep", "cascade"),
    "m2mrf_c": ("cascade", "onestep"),
    "m2mrf_d": ("cascade", "cascade"),
    "m2mrf_onestep_bilinear": ("onestep", "bilinear"),
    "m2mrf_cascade_bilinear": ("cascade", "bilinear"),
}


def build(pair: str) -> torch.nn.Module:
    return rfbench.build_model(pair, "hrnetv2_embedded")


def save(path, tensors, **other):
    torch.save({"meta": {"epoch": 1, "CLASSES": ("EX",)}, "state_dict": tensors, **other}, path)
    return path


@pytest.mark.parametrize("pair", PAIRS)
def test_the_authors_whole_models_load(pair, tmp_path):
    authors = Authors(*PAIRS[pair]).tensors
    model = build(pair)
    rfbench.load_checkpoint(model, save(tmp_path / "authors.pth", authors))
    ours = model.state_dict()
    assert len(ours) == len(authors)
    assert sum(v.numel() for v in ours.values()) == sum(v.numel() for v in authors.values())
    same = [key for key in ours if key in authors]
    assert all(torch.equal(ours[key], authors[key]) for key in same)
    operator = model.backbone.transition2[2][0][0]
    for our_layer, their_layer in {
        "compress": "sample_encode_conv",
        "gather": "sample.sample_fc",
        "scatter": "sample.sample_fc1",
        "recover": "sample_decode_conv",
    }.items():
        for kind in ("weight", "bias"):
            theirs = authors[f"backbone.transition2.2.0.0.{their_layer}.{kind}"]
            assert torch.equal(operator.state_dict()[f"{our_layer}.{kind}"].flatten(), theirs.flatten())


def test_counters_and_a_parallel_prefix_may_differ(tmp_path):
    authors = Authors("cascade", "onestep").tensors
    bare = {f"module.{k}": v for k, v in authors.items() if not k.endswith("num_batches_tracked")}
    with_all, without = build("m2mrf_c"), build("m2mrf_c")
    rfbench.load_checkpoint(with_all, save(tmp_path / "authors.pth", authors))
    rfbench.load_checkpoint(without, save(tmp_path / "bare.pth", bare))
    for name, tensor in without.named_parameters():
        assert torch.equal(tensor, with_all.get_parameter(name)), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("decode_head.conv_seg.bias"), r"1 missing \(decode_head.conv_seg.bias\); none unexpected"),
        (lambda t: t.update(extra=torch.zeros(1)), r"none missing; 1 unexpected \(extra\)"),
        (lambda t: t.update({"decode_head.conv_seg.bias": torch.zeros(5)}), "size mismatch for decode_head.conv_seg"),
        (
            lambda t: t.update({"backbone.transition1.1.0.0.sample.sample_fc.weight": torch.zeros(16, 512, 1)}),
            "size mismatch for backbone.transition1.1.0.0.gather.weight",
        ),
    ],
)
def test_an_authors_model_loads_strictly(change, message, tmp_path):
    authors = Authors("onestep", "onestep").tensors
    change(authors)
    path = save(tmp_path / "authors.pth", authors)
    with pytest.raises(RFBenchError, match=message) as caught:
        rfbench.load_checkpoint(build("m2mrf_a"), path)
    assert str(path) in str(caught.value)
    assert "Build the model with the pair" in str(caught.value)


def test_another_pairs_weights_are_refused(tmp_path):
    path = save(tmp_path / "model.pth", build("m2mrf_a").state_dict())
    with pytest.raises(RFBenchError, match=r"missing .*unexpected .*…"):
        rfbench.load_checkpoint(build("m2mrf_b"), path)


class Foreign:
    def __reduce__(self):
        return print, ("foreign code ran",)


def test_a_file_that_would_run_code_is_refused(tmp_path, capsys):
    path = save(tmp_path / "model.pth", {}, hook=Foreign())
    with pytest.raises(RFBenchError, match=r"cannot be read as weights.*foreign code") as caught:
        rfbench.load_checkpoint(build("strideconv_bilinear"), path)
    assert "ran" not in capsys.readouterr().out
    assert "weights_only" not in str(caught.value), "PyTorch's advice to switch the protection off"


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x80\x02garbage", pickle.dumps([1, 2])])
def test_a_file_of_something_else_is_refused(content, tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(RFBenchError, match=re.escape(str(path))):
        rfbench.load_checkpoint(build("strideconv_bilinear"), path)


def test_missing_files_folders_and_bare_tensors_are_named(tmp_path):
    model = build("strideconv_bilinear")
    with pytest.raises(RFBenchError, match=r"none\.pth: expected a file of weights, found nothing"):
        rfbench.load_checkpoint(model, tmp_path / "none.pth")
    with pytest.raises(RFBenchError, match=re.escape(str(tmp_path))):
        rfbench.load_checkpoint(model, tmp_path)
    torch.save(model.state_dict(), tmp_path / "bare.pth")
    with pytest.raises(RFBenchError, match="expected a checkpoint with an entry 'state_dict'"):
        rfbench.load_checkpoint(model, tmp_path / "bare.pth")
    torch.save({"state_dict": {"a": 1}}, tmp_path / "numbers.pth")
    with pytest.raises(RFBenchError, match=r"tensors only, 1 others \(a\)"):
        rfbench.load_checkpoint(model, tmp_path / "numbers.pth")


def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "model.pth")
    for read in (read_meta, lambda path: rfbench.load_checkpoint(build("strideconv_bilinear"), path)):
        with pytest.raises(RFBenchError, match=r"model\.pth: expected a file of weights, found a named pipe"):
            read(tmp_path / "model.pth")


def test_a_checkpoint_that_unpacks_to_more_than_it_is(tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(1 << 20)}}, tmp_path / "whole.pth")
    with (
        zipfile.ZipFile(tmp_path / "whole.pth") as whole,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for info in whole.infolist():
            bomb.writestr(info.filename, whole.read(info))
    with pytest.raises(RFBenchError, match="members are compressed, which PyTorch's never are"):
        read_meta(tmp_path / "bomb.pth")


@pytest.mark.parametrize(
    ("name", "value"),
    [("decode_head.conv_seg.weight", float("nan")), ("backbone.conv1.weight", float("inf")),
     ("backbone.bn1.running_var", -1.0)],
)  # fmt: skip
def test_weights_that_make_every_map_black_are_refused(name, value, tmp_path):
    weights = build("strideconv_bilinear").state_dict()
    weights[name].view(-1)[0] = value
    path = save(tmp_path / "model.pth", weights)
    with pytest.raises(RFBenchError, match=rf"no negative variance, found 1 tensor\(s\) with others \({name}\)"):
        rfbench.load_checkpoint(build("strideconv_bilinear"), path)


@pytest.mark.parametrize(
    ("tensors", "found"),
    [
        ({7: torch.zeros(1)}, r"tensors only, 1 others \(7\)"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, r"1 others \(a\)"),
        ({"a": torch.eye(3).to_sparse()}, r"1 others \(a\)"),
        ({"a": torch.zeros(1), "module.a": torch.ones(1)}, r"1 with and without `module\.` \(a\)"),
        ({"a\x1b[2J\n" * 99: 1}, r"1 others \('a\\x1b"),
        ({"a": torch.zeros(1).expand(1 << 40)}, "does not fit this model"),
    ],
    ids=["number for a name", "complex", "sparse", "twice", "escapes", "no memory for it"],
)
def test_tensors_that_are_no_weights(tensors, found, tmp_path):
    with pytest.raises(RFBenchError, match=found):
        rfbench.load_checkpoint(build("strideconv_bilinear"), save(tmp_path / "model.pth", tensors))


META = {
    "pair": (["m2mrf_c"], "../x", "A", 3),
    "backbone": (1, []),
    "operator_options": ([], {"m2mrf": 4}, {"m2mrf": {"alpha": b"4"}}, {1: {}}),
    "lesions": (["EX", "EX", "SE", "MA"], [1, 2], "EX", ["/../../x"], ["EX\n"], []),
    "scale": ([0, 0], [-5, 5], "ab", [10**6] * 2, [16384, 16384], [960], [960.0, 640.0], [10**99, 640]),
    "mean": ([1, 2], [1, float("nan"), 3], [-1, 0, 0], ["1", "2", "3"], [True] * 3, 5),
    "std": ([1, 0, 3], [1, float("inf"), 3], [1, 2, 3, 4], [None] * 3),
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in META.items() for value in values])
def test_meta_of_a_wrong_kind_is_named(key, value, tmp_path):
    line = rf"^[^\n]*model\.pth: meta\.{key}: expected [^\n]*, found (?!nothing)[^\n]*\Z"
    torch.save({"state_dict": {}, "meta": {key: value}}, tmp_path / "model.pth")
    with pytest.raises(RFBenchError, match=line) as caught:
        read_meta(tmp_path / "model.pth")
    assert len(str(caught.value)) < 500


def test_meta_of_other_tools_is_passed_over(tmp_path):
    torch.save({"state_dict": {}, "meta": {"epoch": 3, "CLASSES": ("EX",), "pair": None}}, tmp_path / "model.pth")
    assert read_meta(tmp_path / "model.pth") == {}
    torch.save({"state_dict": {}, "meta": {"scale": (960, 640), "mean": (1, 2, 3.5)}}, tmp_path / "model.pth")
    assert read_meta(tmp_path / "model.pth") == {"scale": [960, 640], "mean": [1, 2, 3.5]}


@pytest.fixture
def imagenet():
    network = HRNet(EMBEDDED)
    network.init_weights()
    tensors = {
        key: torch.rand_like(value) if value.is_floating_point() else value
        for key, value in network.state_dict().items()
    }
    return tensors | {"classifier.weight": torch.zeros(10, 8), "incre_modules.0.0.conv1.weight": torch.zeros(2)}


@pytest.mark.parametrize("wrapped", [False, True])
def test_imagenet_fills_the_baseline_completely(imagenet, wrapped, tmp_path):
    path = tmp_path / "imagenet.pth"
    torch.save({"state_dict": imagenet} if wrapped else imagenet, path)
    model = build("strideconv_bilinear")
    report = load_backbone_weights(model, path)
    own = model.backbone.state_dict()
    assert report == {"loaded": len(own), "ignored_classifier": 2, "ignored_replaced": 0, "initialised": 0}
    assert all(torch.equal(own[key], imagenet[key]) for key in own)


MORE = ["maxpool_maxunpool", "lip_bilinear", "carafe_bilinear", "carafe_carafe", "indexnet", "a2u", "strideconv_eucb"]
SINCE = ["blur_bilinear", "flc_bilinear", "spd_bilinear", "hwd_bilinear", "adown_bilinear", "haar_haar"]


@pytest.mark.parametrize("pair", ["m2mrf_a", "m2mrf_d", "maxpool_bilinear", "strideconv_deconv", *MORE, *SINCE])
def test_imagenet_leaves_the_operators_as_they_are(imagenet, pair, tmp_path):
    torch.save(imagenet, tmp_path / "imagenet.pth")
    model = build(pair)
    before = {key: value.clone() for key, value in model.backbone.state_dict().items()}
    report = load_backbone_weights(model, tmp_path / "imagenet.pth")
    after = model.backbone.state_dict()
    assert report["loaded"] + report["initialised"] == len(after)
    assert report["loaded"] + report["ignored_replaced"] == len(imagenet) - 2
    assert report["initialised"] > 0 < report["ignored_replaced"]
    own = [key for key in after if key not in imagenet]
    assert own
    assert all(torch.equal(before[key], after[key]) for key in own)
    assert torch.equal(after["stage4.0.branches.3.0.conv1.weight"], imagenet["stage4.0.branches.3.0.conv1.weight"])


@pytest.mark.parametrize(
    "pair", ["nearest", "pixelshuffle", "dysample", "fade", "sapa", "freqfusion"], ids=lambda name: f"strideconv_{name}"
)
def test_imagenet_fills_all_but_the_operator_where_the_paths_around_it_are_hrnets(imagenet, pair, tmp_path):
    torch.save(imagenet, tmp_path / "imagenet.pth")
    model = build(f"strideconv_{pair}")
    report = load_backbone_weights(model, tmp_path / "imagenet.pth")
    after = model.backbone.state_dict()
    assert report["ignored_replaced"] == 0
    assert report["loaded"] == len(imagenet) - 2
    assert all(torch.equal(after[key], value) for key, value in imagenet.items() if key in after)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("conv1.weight"), r"1 missing \(conv1.weight\)"),
        (lambda t: t.update(surprise=torch.zeros(1)), r"1 unknown or of another shape \(surprise\)"),
        (
            lambda t: t.update({"conv1.weight": t["conv1.weight"] * float("nan")}),
            r"tensor\(s\) with others \(conv1.weight\)",
        ),
        (lambda t: t.update({"conv1.weight": torch.zeros(64, 3, 7, 7)}), r"of another shape \(conv1.weight\)"),
    ],
)
def test_a_backbone_that_does_not_fit_is_refused(imagenet, change, message, tmp_path):
    change(imagenet)
    torch.save(imagenet, tmp_path / "imagenet.pth")
    with pytest.raises(RFBenchError, match=message):
        load_backbone_weights(build("m2mrf_a"), tmp_path / "imagenet.pth")
