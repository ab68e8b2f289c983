"""Holm's correction for several comparisons with one baseline."""

import numpy as np


def holm(p: np.ndarray, family: int | None = None) -> np.ndarray:
    """Holm's step-down adjustment (Holm 1979).

    Args:
        p: p-values; NaN for a comparison that could not be made, which stays NaN.
        family: comparisons in all; those without a p count as the least significant. Default: those with one.
    """
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # NaN sorts last
    family = len(order) if family is None else family
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * (family - np.arange(len(order)))), 1)
    return adjusted
