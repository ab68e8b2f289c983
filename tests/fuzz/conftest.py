"""How long the fuzz tests search: a fixed seed in `make test`, an hour of new ones in `make fuzz`."""

import os

from hypothesis import HealthCheck, settings

COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
settings.register_profile("fixed", max_examples=40, derandomize=True, database=None, **COMMON)
settings.register_profile("search", max_examples=400, **COMMON)
settings.load_profile(os.environ.get("RFBENCH_FUZZ", "fixed"))
