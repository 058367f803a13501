"""Charting of peripheral lines in MIMIC-III: every word as one row, with the sign it stands for.

The rules are in `mimic_iii_sites`.
"""

from __future__ import annotations

import re

import pandas as pd

APPEARANCE_MV = {
    "224119": "22G",
    "225231": "20G",
    "225234": "18G",
    "225237": "16G",
    "225240": "14G",
}
REASON_MV = {"225230": "20G", "225233": "18G"}
SCALE_MV = {
    "228011": ("18G", "ins_phlebitis"),
    "228012": ("18G", "ins_infiltration"),
    "228013": ("20G", "ins_phlebitis"),
    "228014": ("20G", "ins_infiltration"),
}
LINE_MV = {"224566": "14G", "224276": "16G", "224277": "18G", "224275": "20G", "224274": "22G"}
SLOT_CV = {
    item: (f"#{slot}", part)
    for part, items in {
        "position": ("294", "297", "300", "303"),
        "device": ("8400", "8401", "8402", "8403"),
        "appearance": ("324", "325", "326", "327"),
        "reason": ("1479", "1480", "1481", "1482"),
    }.items()
    for slot, item in enumerate(items, start=1)
}
ITEMS = (*APPEARANCE_MV, *REASON_MV, *SCALE_MV, *SLOT_CV)

SIGN_OF = {
    "wnl": "none",
    "infiltrated": "infiltration",
    "redness": "erythema",
    "erythematous": "erythema",
    "swelling": "swelling",
    "pain": "pain",
    "drainage": "leak",
    "bleeding": "bleeding",
    "oozing": "bleeding",
    "old blood": "bleeding",
    "ecchymotic": "other",
    "other/remarks": "other",
}
SIGN_OF_REASON = {"infiltrated": "infiltration", "phlebitis": "phlebitis"}
SIGN_OF_SCALE = {"ins_phlebitis": "phlebitis", "ins_infiltration": "infiltration"}

CHARTING = [
    "patient_id",
    "icustay_id",
    "system",
    "label",
    "time",
    "row_id",
    "charted_as",
    "word",
    "sign",
    "grade",
    "scale",
]


def read_charting(chart: pd.DataFrame) -> pd.DataFrame:
    """Return every charted word on a peripheral line as one row with its sign.

    Parameters
    ----------
    chart
        Rows of chartevents: patient_id, icustay_id, row_id (int), itemid, time, value.

    Returns
    -------
    DataFrame
        Columns `CHARTING`; label is the gauge (metavision) or the slot (carevue), charted_as is
        appearance, scale, reason, position or device; word is trimmed, None when empty.
    """
    table = chart[chart["itemid"].isin(ITEMS)].copy()
    parts = [_part(item) for item in table["itemid"]]
    for number, name in enumerate(("system", "label", "charted_as", "scale")):
        words = [part[number] for part in parts]
        table[name] = pd.Series(words, index=table.index, dtype="object")
    word = table["value"].fillna("").str.strip()
    table["word"] = word.mask(word == "", None)
    findings = [
        _finding(how, text, scale)
        for how, text, scale in zip(
            table["charted_as"], word.str.lower(), table["scale"], strict=True
        )
    ]
    table["sign"] = pd.Series([f[0] for f in findings], index=table.index, dtype="object")
    table["grade"] = pd.Series([f[1] for f in findings], index=table.index, dtype="float64")
    return table[CHARTING].sort_values(["patient_id", "time", "row_id"], ignore_index=True)


def _part(item: str) -> tuple[str, str, str, str | None]:
    if item in SLOT_CV:
        slot, part = SLOT_CV[item]
        return "carevue", slot, part, None
    if item in SCALE_MV:
        gauge, scale = SCALE_MV[item]
        return "metavision", gauge, "scale", scale
    if item in REASON_MV:
        return "metavision", REASON_MV[item], "reason", None
    return "metavision", APPEARANCE_MV[item], "appearance", None


def _finding(charted_as: str, word: str, scale: str | None) -> tuple[str | None, float | None]:
    if not word or charted_as in ("position", "device"):
        return None, None
    if charted_as == "reason":
        return SIGN_OF_REASON.get(word), None
    if scale is None:
        return SIGN_OF.get(word, "other"), None
    match = re.search(r"\d+", word)
    if match is None:
        return None, None
    grade = float(match.group())
    return (SIGN_OF_SCALE[scale] if grade >= 1 else "none"), grade
