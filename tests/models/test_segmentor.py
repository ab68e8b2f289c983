"""The segmentor: sizes, initialisation, normalisation, silence."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor
from mmseg.structures import SegDataSample

import rfbench
from rfbench.errors import RFBenchError
from rfbench.models.normalise import Normalise, pad_labels

MEAN, STD = (116.513, 56.437, 16.309), (80.206, 41.232, 13.293)


@pytest.fixture(scope="module")
def model():
    return rfbench.build_model("strideconv_bilinear", "hrnetv2_embedded")


def test_logits_are_the_heads_upsampled(model):
    model.eval()
    x = torch.randn(2, 3, 64, 96)
    low = model.decode_head(model.backbone(x))
    assert low.shape == (2, 4, 16, 24)
    assert torch.equal(model(x), F.interpolate(low, (64, 96), mode="bilinear", align_corners=False))


def test_batches_are_those_of_mmsegs_preprocessor_bit_for_bit():
    """Images smaller than the crop, equal to it, and stored height by width by channel as OpenCV gives them."""
    rng = np.random.default_rng(0)
    sizes = [(64, 96), (40, 96), (31, 50)]
    images = [torch.from_numpy(rng.integers(0, 256, (*size, 3), np.uint8)).permute(2, 0, 1) for size in sizes]
    labels = [torch.from_numpy(rng.integers(0, 5, size, np.uint8)) for size in sizes]
    theirs = SegDataPreProcessor(mean=MEAN, std=STD, bgr_to_rgb=True, size=(64, 96), pad_val=0, seg_pad_val=0)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label[None].long())) for label in labels]
    expected = theirs({"inputs": images, "data_samples": samples}, True)
    got = Normalise(MEAN, STD)(images, (64, 96))
    assert torch.equal(got, expected["inputs"])
    assert got.is_contiguous()
    label = pad_labels(labels, (64, 96), torch.device("cpu"))
    assert torch.equal(label, torch.cat([sample.gt_sem_seg.data for sample in expected["data_samples"]]))
    alone = theirs({"inputs": [images[1]]}, False)["inputs"]
    assert torch.equal(Normalise(MEAN, STD)([images[1]]), alone)


def test_normalising_adds_nothing_to_a_checkpoint():
    """Its constants are in the checkpoint's meta, as those of mmseg's preprocessor were; old checkpoints load."""
    plain, made = (
        rfbench.build_model("strideconv_bilinear", "hrnetv2_embedded", normalise=normalise)
        for normalise in (None, Normalise(MEAN, STD))
    )
    assert list(made.state_dict()) == list(plain.state_dict())
    assert {name.partition(".")[0] for name in made.state_dict()} == {"backbone", "decode_head"}


@pytest.mark.parametrize("size", [(63, 64), (64, 32)])
def test_images_below_64_px_are_refused(model, size):
    with pytest.raises(RFBenchError, match=rf"at least 64 px.*{size[0]} px high and {size[1]} px wide"):
        model(torch.randn(1, 3, *size))


@pytest.mark.parametrize("lesions", [1, 2, 6])
def test_the_number_of_lesions_is_free(lesions):
    model = rfbench.build_model("strideconv_bilinear", "hrnetv2_embedded", num_lesions=lesions).eval()
    assert model(torch.randn(1, 3, 64, 64)).shape == (1, lesions, 64, 64)


def test_initialising_again_changes_nothing(model):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.init_weights()
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_building_prints_nothing(capfd, caplog, recwarn):
    rfbench.build_model("m2mrf_a", "hrnetv2_embedded")
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not list(recwarn)
