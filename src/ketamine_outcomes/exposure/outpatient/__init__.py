"""MME per day of outpatient opioids, from prescriptions: for sources that hold orders or fills.

Doses that were given go through the exposure engine instead; the two are never added. Not for
clinical dosing.
"""

from ketamine_outcomes.exposure.outpatient.convert import (
    DEFAULT_FACTORS,
    REASONS,
    DailyMme,
)
from ketamine_outcomes.exposure.outpatient.dated import (
    convert_prescriptions,
    dated_mme,
    notebook_equations,
    share_above,
)
from ketamine_outcomes.exposure.outpatient.heal import (
    HealMme,
    HealResult,
    heal_mme,
    heal_mme_table,
    heal_names,
)
from ketamine_outcomes.exposure.outpatient.prescription import (
    doses_per_day,
    patch_mme,
    prescription_mme,
    regimen_mme,
)

__all__ = [
    "DEFAULT_FACTORS",
    "REASONS",
    "DailyMme",
    "HealMme",
    "HealResult",
    "convert_prescriptions",
    "dated_mme",
    "doses_per_day",
    "heal_mme",
    "heal_mme_table",
    "heal_names",
    "notebook_equations",
    "patch_mme",
    "prescription_mme",
    "regimen_mme",
    "share_above",
]
