"""The segmentor: sizes, loss under mmengine's calling conventions, silence."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

import rfbench
from rfbench.errors import RFBenchError
from rfbench.losses import dice_loss

PREPROCESSOR = {
    "type": "SegDataPreProcessor",
    "mean": [116.513, 56.437, 16.309],
    "std": [80.206, 41.232, 13.293],
    "bgr_to_rgb": True,
    "size": (64, 96),
    "pad_val": 0,
    "seg_pad_val": 0,
}


@pytest.fixture(scope="module")
def model():
    return rfbench.build_model("strideconv_bilinear", "hrnetv2_embedded", data_preprocessor=PREPROCESSOR)


def sample(label: torch.Tensor) -> SegDataSample:
    return SegDataSample(gt_sem_seg=PixelData(data=label[None]))


def test_logits_are_the_heads_upsampled(model):
    model.eval()
    x = torch.randn(2, 3, 64, 96)
    low = model.decode_head(model.backbone(x))
    assert low.shape == (2, 4, 16, 24)
    assert torch.equal(model(x), F.interpolate(low, (64, 96), mode="bilinear", align_corners=False))


def test_the_loss_is_dice_at_the_labels_size(model):
    model.eval()
    x, label = torch.randn(2, 3, 64, 96), torch.randint(0, 5, (2, 128, 192))
    losses = model(x, [sample(item) for item in label], mode="loss")
    low = model.decode_head(model.backbone(x))
    expected = dice_loss(F.interpolate(low, (128, 192), mode="bilinear", align_corners=False), label)
    assert losses.keys() == {"loss_dice"}
    torch.testing.assert_close(losses["loss_dice"], expected)


def test_it_takes_a_training_step_the_way_mmengine_does(model):
    from mmengine.optim import OptimWrapper

    model.train()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    before = model.decode_head.conv_seg.weight.clone()
    image = torch.randint(0, 256, (3, 60, 90), dtype=torch.uint8)
    data = {"inputs": [image, image], "data_samples": [sample(torch.zeros(60, 90, dtype=torch.int64))] * 2}
    log = model.train_step(data, wrapper)
    assert log["loss"].item() == log["loss_dice"].item() <= 1
    assert not torch.equal(before, model.decode_head.conv_seg.weight)


@pytest.mark.parametrize("size", [(63, 64), (64, 32)])
def test_images_below_64_px_are_refused(model, size):
    with pytest.raises(RFBenchError, match=rf"at least 64 px.*{size[0]} px high and {size[1]} px wide"):
        model(torch.randn(1, 3, *size))


def test_an_unknown_mode_is_refused(model):
    with pytest.raises(ValueError, match=r"'predict'.*'tensor' .* 'loss'"):
        model(torch.randn(1, 3, 64, 64), mode="predict")


@pytest.mark.parametrize("lesions", [1, 2, 6])
def test_the_number_of_lesions_is_free(lesions):
    model = rfbench.build_model("strideconv_bilinear", "hrnetv2_embedded", num_lesions=lesions).eval()
    assert model(torch.randn(1, 3, 64, 64)).shape == (1, lesions, 64, 64)


def test_initialising_again_changes_nothing(model):
    """mmengine's Runner does so after ImageNet weights were loaded."""
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.init_weights()
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_building_prints_nothing(capfd, caplog, recwarn):
    rfbench.build_model("m2mrf_a", "hrnetv2_embedded")
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not list(recwarn)


def test_mixed_precision_gives_finite_logits_and_a_float32_loss(model):
    model.train()
    x, label = torch.randn(2, 3, 64, 64), torch.randint(0, 5, (2, 64, 64))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(x, [sample(item) for item in label], mode="loss")["loss_dice"]
    assert loss.dtype == torch.float32
    assert loss.isfinite()
