"""Whether the networks of a configuration can be built, before anything starts."""

import torch

from rfbench.errors import RFBenchError
from rfbench.models.segmentor import assemble
from rfbench.settings import Settings, network, variants


def network_problems(settings: Settings) -> list[str]:
    """Sentences about configured networks that cannot be built. Builds them without memory; half a second each."""
    model, problems = settings.model, []
    for name in (*settings.pairs, *variants(settings), *settings.methods):
        competitor, options = network(settings, name)
        if model.backbone == "hrnetv2_w48" and not options:
            continue  # the paper's networks, which the tests build
        keys = "model.method_options" if name in settings.methods else "model.operator_options or sweep"
        try:
            with torch.device("meta"):
                assemble(competitor, model.backbone, operator_options=options, method_options=options)
        except RFBenchError as error:
            problems.append(f"{keys}: {error}")
        except (ArithmeticError, RuntimeError, TypeError) as error:  # torch's, about a value that fits no layer
            problems.append(f"{keys}: cannot build {competitor} with {options}: {error}")
    return problems
