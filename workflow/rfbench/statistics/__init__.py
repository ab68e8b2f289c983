"""From stored records to what may be concluded: intervals, tests, power and verdicts. Needs no torch.

- `retraining(scores, reference=0)`: would training again, with new seeds on the same images, show the difference?
- `population(...)`: would new patients show it, too?

docs/statistics.md has the formulas, their measured coverage and what is deliberately not offered.
"""

from rfbench.statistics.population import Population, population
from rfbench.statistics.retraining import Retraining, retraining, spread

__all__ = ["Population", "Retraining", "population", "retraining", "spread"]
