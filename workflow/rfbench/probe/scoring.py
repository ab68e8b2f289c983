"""Average precision by size of lesion, against background."""

from collections.abc import Iterator

import numpy as np

from rfbench.probe.data import Planted

ALL = "all"


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Σ (Rₙ − Rₙ₋₁) Pₙ over every distinct score, highest first; NaN without a positive.

    Args:
        scores: (n,), any order.
        positive: bool (n,).
    """
    order = np.argsort(scores)[::-1]
    scores, hits = scores[order], np.cumsum(positive[order])
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # of each group of equal scores
    found = hits[last]
    if not found[-1]:
        return float("nan")
    return float(np.sum(np.diff(found, prepend=0) * found / (last + 1)) / found[-1])


def by_size(logits: np.ndarray, truth: Planted) -> list[dict]:
    """AP of every size, of each contrast and all, with and without a largest lesion in the image, and all.

    A lesion's cells are set against the background of the same images; lesions of other sizes and contrasts take no
    part.

    Args:
        logits: (N, side, side), higher where a lesion is more likely.
        truth: of the same images.

    Returns:
        One dict a row: cells, contrast ("all" or a number), coexisting ("all", "yes", "no"), ap, positives (cells),
        prevalence (share of positives, the AP of a random score). Only rows with a positive.
    """
    rows = []
    for coexisting, images in _halves(truth):
        scores, size, contrast = logits[images], truth.size[images], truth.contrast[images]
        background = size == 0
        for cells in map(int, np.unique(size[size > 0])):
            for level in (ALL, *map(int, np.unique(contrast[size == cells]))):
                if coexisting != ALL and level != ALL:
                    continue
                positive = (size == cells) & ((contrast == level) | (level == ALL))
                counted = positive | background
                share = positive.sum() / counted.sum()
                rows.append({
                    "cells": cells, "contrast": level, "coexisting": coexisting,
                    "ap": average_precision(scores[counted], positive[counted]),
                    "positives": int(positive.sum()), "prevalence": float(share),
                })  # fmt: skip
    return rows


def _halves(truth: Planted) -> Iterator[tuple[str, np.ndarray]]:
    yield ALL, np.ones_like(truth.coexisting)
    yield "yes", truth.coexisting
    yield "no", ~truth.coexisting
