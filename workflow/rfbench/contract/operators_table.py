"""``rfbench operators``: the registered operator pairs, their parameters and how sure their setting is."""

import operators
from rfbench.published import published_costs


def table_rows(count: bool = False) -> list[dict]:
    """One row a pair: parameters of HRNetV2-W48 and head, the published ones in millions (None: not published).

    `params` is what the pair declares; where it declares none, they are counted.
    """
    published = published_costs()
    rows = []
    for name in operators.available():
        pair = operators.get(name)
        row = {
            "pair": name,
            "downsample": pair.down,
            "upsample": pair.up,
            "params": counted(name) if pair.params is None else pair.params,
            "published_params_M": published.get((pair.published_name, "params_M")),
            "confidence": pair.confidence,
            "source": operators.origin(name),
        }
        rows.append(row | {"counted": counted(name)} if count else row)
    return rows


def counted(pair: str) -> int:
    """Learnable parameters of the pair's HRNetV2-W48 with head, counted without allocating them."""
    import torch

    from rfbench.models import assemble, count_parameters

    with torch.device("meta"):
        return count_parameters(assemble(pair))
