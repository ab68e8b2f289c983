"""Records as a probe would leave them, with known scores."""

import numpy as np
import pandas as pd

from rfbench.probe import controls
from rfbench.probe.groups import groups
from rfbench.probe.protocol import Protocol
from rfbench.probe.records import COLUMNS

ROWS = [("all", "all"), ("all", "yes"), ("all", "no")]


def table(
    protocol: Protocol, pairs, tiny: dict[str, float], *, arms=("fusion", "serial"), copies=("matched",), large=None,
    sd=0.03, among=None, seed=0,
) -> pd.DataFrame:  # fmt: skip
    """One table of test runs: mean AP by network, the same noise of a seed for all, and noise of each run.

    Args:
        tiny: mean tiny AP by name of the group without its arm, 0.4 where none is given; `large` likewise (0.6).
        sd: of one run beyond what its seed does to all.
        among: added to tiny AP by name on images with a largest lesion.
    """
    rng, rows = np.random.default_rng(seed), []
    common = {k: rng.normal(0, 0.05) for k in range(100)}
    defaults = {"shuffle": 0.8, "no_low_branch": 0.2, "every_fourth": 0.01, "strideconv_bilinear--permuted": 0.0005}
    for group in groups(protocol, pairs, arms, copies):
        name = group.name.partition("/")[2]
        permuted = group.copy == controls.PERMUTED
        seeds = protocol.seeds.again if group.copy == controls.AGAIN else protocol.seeds.test
        for k in seeds:
            for cells in protocol.images.sizes:
                given, usual = ((large or {}), 0.6) if cells > 4 else (tiny, 0.4)
                mean = given.get(name, given.get(group.network, defaults.get(name, usual)) if not permuted else 0.0005)
                for contrast, coexisting in ROWS:
                    extra = (among or {}).get(group.network, 0) if coexisting == "yes" else 0
                    noise = rng.normal(0, 1e-4) if permuted else common[k] + rng.normal(0, sd)
                    rows.append({
                        "arm": group.arm, "network": group.network, "copy": group.copy, "pair": group.pair,
                        "control": group.control, "matched": group.copy == "matched",
                        "widened": group.pair if group.copy == "matched" else "", "width": None,
                        "parameters": 20_000 if group.network == protocol.analysis.reference else 30_000,
                        "flops": 1_000, "purpose": "test", "lr": 0.01, "seed": k, "state": "done", "cells": cells,
                        "contrast": contrast, "coexisting": coexisting, "ap": mean + extra + noise,
                        "prevalence": 0.0005, "protocol": protocol.digest,
                    })  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)
