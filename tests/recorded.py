"""Records as the commands write them, for tests that need some."""

from rfbench import provenance
from rfbench.names import METRICS
from rfbench.runs import Run

ORIGIN = {
    "commit": "c0ffee" + 34 * "0",
    "dirty": False,
    "python": "3.11",
    "versions": {"torch": "2.13.0"},
    "device": "cpu",
}


def training(run: Run, state: str = "done", reason: str | None = None, manifest: str = "", weights: str = "") -> dict:
    """train.json of a run."""
    own = run.settings.model_dump(mode="json")
    identity = {"settings": provenance.digest(own), "manifest": manifest, "code": "0123456789ab"}
    return {"kind": "training", "state": state, "reason": reason, "settings": own, "identity": identity,
            "checkpoint_sha256": weights, "provenance": ORIGIN}  # fmt: skip


def evaluation(
    run: Run, value: float = 0.5, state: str = "done", by_lesion: dict[str, float] | None = None, **about
) -> dict:
    """evaluation.json of a run with that value as the mean of every metric, by lesion these."""
    record = training(run, state, **about) | {
        "kind": "evaluation", "evaluation": run.evaluation.model_dump(mode="json"), "training_provenance": ORIGIN
    }  # fmt: skip
    if state == "done":
        record |= {
            "metrics": {metric: {**(by_lesion or {"MA": 0.1}), "mean": value} for metric in METRICS},
            "details": {"MA": {"ap_error": 1e-6, "aupr11_artefact": False}}, "n_images": 27,
            "untrained": {metric: {"MA": 0.01, "mean": 0.01} for metric in METRICS},
        }  # fmt: skip
    return record


def cost(row: str, ratio: float = 1.0, **more) -> dict:
    """What profile.json says of a pair."""
    spread = {"fps_ratio_min": ratio - 0.1, "fps_ratio_max": ratio + 0.2}
    counts = {"params": 2_000_000, "params_w48": 70_000_000, "flops": 1.5e9, "flops_w48": 1.8e11, "memory": 5e6}
    return {"row": row, **counts, "memory_w48": 1.2e9, "fps": 3.0, "fps_ratio": ratio, **spread, **more}


def profile(pairs: dict[str, dict], **more) -> dict:
    """profile.json of these costs by pair; `more` replaces what it says otherwise."""
    own = {
        "baseline": "strideconv_bilinear", "backbone": "hrnetv2_embedded", "size": [96, 64], "batch": 1,
        "dtype": "float32", "channels_last": False, "threads": 2, "rounds": 9, "memory_kind": "saved for backward",
        "paper": {"size": [512, 512], "batch": 1, "dtype": "float32"}, "provenance": ORIGIN,
    }  # fmt: skip
    return {**own, **more, "pairs": pairs}
