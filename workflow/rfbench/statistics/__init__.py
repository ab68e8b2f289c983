"""From stored records to what may be concluded: intervals, tests, power and verdicts. Needs no torch.

- `retraining(scores, reference=0)`: would training again, with new seeds on the same images, show the difference?
- `population(...)`: would new patients show it, too?
- `resolved(scores)`: which of all competitors are told apart.

docs/statistics.md has the formulas, their simulated coverage and what is deliberately not offered.
"""

from rfbench.statistics.population import Population, population
from rfbench.statistics.retraining import Retraining, retraining, spread
from rfbench.statistics.tukey import letters, resolved

__all__ = ["Population", "Retraining", "letters", "population", "resolved", "retraining", "spread"]
