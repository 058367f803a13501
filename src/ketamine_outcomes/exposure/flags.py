"""Flags of dose rows and windows: kept as bits, written as sorted words joined by `;`."""

from __future__ import annotations

#: In alphabetical order, so that the words of a set of bits come out sorted.
FLAGS = (
    "antagonist",
    "clipped_by_feed",
    "concurrent_infusions",
    "esrd",
    "implausible_unit",
    "intraop_ultrashort_excluded",
    "neuraxial_excluded",
    "observed_zero",
    "open_interval_closed_by_cap",
    "open_interval_closed_by_death",
    "open_interval_closed_by_discharge",
    "open_interval_closed_by_next_row",
    "open_interval_closed_by_transfer",
    "partial_day",
    "patch_removal_imputed_168h",
    "patch_removal_imputed_72h",
    "patch_removal_imputed_next_patch",
    "preconverted",
    "rate_as_bolus",
    "route_assumed",
    "under_12_hours",
)
BIT = {flag: 1 << place for place, flag in enumerate(FLAGS)}
#: Flags of a dose whose route or end was not charted but taken.
IMPUTED = sum(
    bit
    for flag, bit in BIT.items()
    if flag == "route_assumed"
    or flag.startswith("patch_removal_")
    or (flag.startswith("open_interval_") and not flag.endswith("_next_row"))
)
#: Flags of a dose that was charted so that its amount deserves less trust.
LOW_CONFIDENCE = sum(
    BIT[flag]
    for flag in ("clipped_by_feed", "concurrent_infusions", "implausible_unit", "preconverted")
)


def words(bits: int) -> str:
    """Return the flags of a set of bits.

    >>> words(BIT["route_assumed"] | BIT["esrd"])
    'esrd;route_assumed'
    """
    return ";".join(flag for flag, bit in BIT.items() if bits & bit)
