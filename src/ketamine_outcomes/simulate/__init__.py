"""A simulated registry with known effects: every table of an extract, and the truth beside it.

Nothing in it comes from a patient. Patient `i` is drawn from the seed `[seed, i]` alone, so
the same patient appears whatever the size of the registry, and patients are written in blocks
with bounded memory.
"""

from __future__ import annotations

from ketamine_outcomes.simulate.registry import simulate

__all__ = ["simulate"]
