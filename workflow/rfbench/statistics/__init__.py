"""From stored records to what may be concluded: intervals, tests, power and verdicts. Needs no torch.

- `retraining(scores, reference=0)`: would training again, with new seeds on the same images, show the difference?
"""

from rfbench.statistics.retraining import Retraining, retraining, spread

__all__ = ["Retraining", "retraining", "spread"]
