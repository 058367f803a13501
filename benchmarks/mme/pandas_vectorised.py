"""MME per patient-day in plain pandas: the whole table in memory, no loops, one thread."""

from __future__ import annotations

from pathlib import Path

import common
import numpy as np
import pandas as pd

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


def _microseconds(times: pd.Series) -> np.ndarray:
    return times.to_numpy("datetime64[us]").astype(np.int64)


def _nano(rows: pd.DataFrame, column: str, micro_unit: str) -> np.ndarray:
    is_micro = (rows[f"{column}_unit"] == micro_unit).to_numpy(bool)
    scale = np.where(is_micro, common.NANO_MG["mcg"], common.NANO_MG["mg"])
    return rows[column].to_numpy(float) * scale


def run(doses: Path, out: Path, threads: int, memory_limit: str) -> None:
    rows = pd.read_parquet(doses, engine="pyarrow", columns=list(common.COLUMNS))
    rows = rows[(rows["status"] == "given") & rows["drug"].isin(common.OPIOIDS)]
    code = np.full(len(rows), -1, dtype=np.int8)
    forms = {form_class: form for form, form_class in common.FORM_CLASS.items()}
    words = {column: rows[column].astype("category").cat for column in ("drug", "route", "form")}
    for number, (drug, route, form_class, _) in enumerate(common.FACTORS):
        same = np.ones(len(rows), dtype=bool)
        for column, word in (("drug", drug), ("route", route), ("form", forms[form_class])):
            same &= words[column].codes.to_numpy() == words[column].categories.get_loc(word)
        code[same] = number

    is_rate = rows["rate"].notna().to_numpy()
    start = _microseconds(rows["start"])
    first_day = start // DAY_US
    nano = np.rint(_nano(rows, "amount", "mcg"))
    # each infusion once per day that it touches
    pump = np.flatnonzero(is_rate)
    end = _microseconds(rows["end"].iloc[pump])
    days = (end - 1) // DAY_US - first_day[pump] + 1
    again = np.repeat(np.arange(len(pump)), days)
    pump_day = first_day[pump][again] + (
        np.arange(len(again)) - np.repeat(np.cumsum(days) - days, days)
    )
    overlap = np.minimum(end[again], (pump_day + 1) * DAY_US) - np.maximum(
        start[pump][again], pump_day * DAY_US
    )
    per_hour = _nano(rows.iloc[pump], "rate", "mcg/h")
    pump_nano = np.rint(per_hour[again] * overlap / HOUR_US)

    still = ~is_rate
    patient, ids = pd.factorize(rows["patient_id"], sort=True)
    pieces = pd.DataFrame(
        {
            "patient": np.concatenate([patient[still], patient[pump][again]]).astype(np.int32),
            "day": np.concatenate([first_day[still], pump_day]).astype(np.int32),
            "code": np.concatenate([code[still], code[pump][again]]),
            "nano": np.concatenate([nano[still], pump_nano]).astype(np.int64),
        }
    )
    del rows
    sums = pieces.groupby(["patient", "day", "code"], sort=False)["nano"].sum().reset_index()
    factors = np.array([row[3] for row in common.FACTORS])
    sums["micro"] = np.rint(sums["nano"] * factors[sums["code"]] / 1000).astype(np.int64)
    total = sums.groupby(["patient", "day"], sort=True)["micro"].sum().reset_index()
    pd.DataFrame(
        {
            "patient_id": ids.take(total["patient"]),
            "day": total["day"].to_numpy().astype("datetime64[D]").astype("datetime64[s]"),
            "mme": total["micro"] / 1e6,
        }
    ).to_parquet(out, engine="pyarrow", index=False)


if __name__ == "__main__":
    common.main(run, f"pandas {pd.__version__}")
