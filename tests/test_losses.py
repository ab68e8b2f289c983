"""The Dice loss against its formula in numpy."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.metrics import log_loss
from sklearn.utils import compute_sample_weight

from rfbench.losses import cross_entropy, dice_loss


def formula(logits: np.ndarray, label: np.ndarray, eps: float = 1e-5) -> float:
    images = []
    for image, truth in zip(logits.astype(np.float64), label, strict=True):
        lesions = []
        for channel, scores in enumerate(image):
            p, y = 1 / (1 + np.exp(-scores)), truth == channel + 1
            lesions.append(1 - (2 * (p * y).sum() + eps) / (p.sum() + y.sum() + eps))
        images.append(np.mean(lesions))
    return float(np.mean(images))


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (3, 4, 17, 5), (2, 2, 9, 16)])
def test_equals_the_formula(shape):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=shape).astype(np.float32)
    label = rng.integers(0, shape[1] + 1, size=(shape[0], *shape[2:]))
    loss = dice_loss(torch.from_numpy(logits), torch.from_numpy(label))
    assert loss.shape == ()
    assert loss.item() == pytest.approx(formula(logits, label), rel=1e-5)


def test_a_perfect_map_costs_nothing_and_an_empty_class_predicted_empty_neither():
    label = torch.zeros(1, 4, 4, dtype=torch.int64)
    label[0, :2] = 1
    logits = torch.full((1, 4, 4, 4), -100.0)
    logits[0, 0, :2] = 100
    assert dice_loss(logits, label).item() == pytest.approx(0, abs=1e-6)


def test_everything_wrong_costs_one():
    label = torch.ones(1, 4, 4, dtype=torch.int64)
    logits = torch.full((1, 1, 4, 4), -100.0)
    assert dice_loss(logits, label).item() == pytest.approx(1, abs=1e-5)


def test_images_count_equally_whatever_their_lesion_area():
    label = torch.zeros(2, 8, 8, dtype=torch.int64)
    label[0, 0, 0], label[1] = 1, 1
    logits = torch.randn(2, 1, 8, 8)
    single = [dice_loss(logits[i : i + 1], label[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(dice_loss(logits, label), sum(single) / 2)


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (3, 4, 17, 5)])
def test_over_the_batch_the_images_are_one(shape):
    """The formula of a single image that holds the pixels of all."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=shape).astype(np.float32)
    label = rng.integers(0, shape[1] + 1, size=(shape[0], *shape[2:]))
    label[0][label[0] == 2] = 0  # a lesion that one image lacks
    loss = dice_loss(torch.from_numpy(logits), torch.from_numpy(label), over_batch=True)
    joined = formula(np.concatenate(list(logits), axis=1)[None], np.concatenate(list(label))[None])
    assert loss.item() == pytest.approx(joined, rel=1e-5)
    if shape[0] > 1:
        assert loss.item() != pytest.approx(formula(logits, label), rel=1e-3)


def test_cross_entropy_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 3, 5, 7)).astype(np.float32)
    label = rng.integers(0, 4, size=(2, 5, 7))
    expected = [
        log_loss(label.ravel() == lesion + 1, expit(logits[:, lesion].ravel().astype(float))) for lesion in range(3)
    ]
    found = cross_entropy(torch.from_numpy(logits).half(), torch.from_numpy(label))
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(np.mean(expected), rel=1e-3)
    assert cross_entropy(torch.from_numpy(logits), torch.from_numpy(label)).item() == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("most", [3, 1000])
def test_cross_entropy_weighs_a_rare_lesion_up_as_scikit_learn_does(most):
    """Below the cap both sides weigh the same ("balanced"); at the cap a pixel weighs so many times another."""
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(2, 3, 16, 16)).astype(np.float32)
    label = rng.choice(4, size=(2, 16, 16), p=[0.4, 0.55, 0.05, 0])  # one frequent, one rare, one that is not there
    expected = []
    for lesion in range(3):
        truth = label.ravel() == lesion + 1
        times = min(max((~truth).sum() / max(truth.sum(), 1), 1), most)
        score = expit(logits[:, lesion].ravel().astype(float))
        expected.append(log_loss(truth, score, sample_weight=np.where(truth, times, 1), labels=[False, True]))
        if lesion == 1 and most == 1000:
            balanced = compute_sample_weight("balanced", truth)
            assert expected[-1] == pytest.approx(log_loss(truth, score, sample_weight=balanced))
    found = cross_entropy(torch.from_numpy(logits), torch.from_numpy(label), positive_weight=most)
    assert found.item() == pytest.approx(np.mean(expected), rel=1e-5)


def test_an_unlearned_lesion_gives_a_gradient_to_cross_entropy_alone():
    """Scores of e^-12: Dice's gradient vanishes with the score, cross-entropy's tends to the pixel's share."""
    label = torch.zeros(1, 64, 64, dtype=torch.int64)
    label[0, :2, :2] = 1
    gradients = {}
    for loss in (dice_loss, cross_entropy):
        logits = torch.full((1, 1, 64, 64), -12.0, requires_grad=True)
        (gradients[loss],) = torch.autograd.grad(loss(logits, label), logits)
    assert gradients[cross_entropy][0, 0, 0, 0].item() == pytest.approx(-1 / 64**2, rel=1e-4)
    assert abs(gradients[dice_loss][0, 0, 0, 0].item()) < 1e-5


def test_half_precision_is_summed_in_float32():
    logits = torch.zeros(1, 4, 512, 512, dtype=torch.float16)  # Σp = 131072 would overflow
    loss = dice_loss(logits, torch.ones(1, 512, 512, dtype=torch.int64))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx((1 - 2 / 3 + 3) / 4, rel=1e-4)


def test_gradient_is_that_of_the_formula():
    logits = torch.randn(1, 2, 3, 3, dtype=torch.float32, requires_grad=True)
    label = torch.randint(0, 3, (1, 3, 3))
    (gradient,) = torch.autograd.grad(dice_loss(logits, label), logits)
    step = np.zeros((1, 2, 3, 3))
    step[0, 1, 2, 0] = 1e-3
    values = [formula(logits.detach().numpy() + sign * step, label.numpy()) for sign in (1, -1)]
    assert gradient[0, 1, 2, 0].item() == pytest.approx((values[0] - values[1]) / 2e-3, rel=1e-3)


@pytest.mark.parametrize(
    ("logits", "label"), [((2, 4, 8, 8), (2, 8, 9)), ((2, 4, 8, 8), (2, 1, 8, 8)), ((2, 8, 8), (2, 8, 8))]
)
def test_shapes_that_do_not_fit_are_named(logits, label):
    with pytest.raises(ValueError, match=r"logits \(N, L, H, W\).*got"):
        dice_loss(torch.zeros(logits), torch.zeros(label, dtype=torch.int64))


def test_a_label_of_another_type_is_refused():
    with pytest.raises(ValueError, match=r"int64 label, got torch\.uint8"):
        dice_loss(torch.zeros(1, 4, 8, 8), torch.zeros(1, 8, 8, dtype=torch.uint8))
