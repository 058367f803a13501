"""The estimates table: one typed long table that holds every number that is published.

Figures, tables, the report, suppression and comparison read it and nothing else. Rows keep the
order in which the analyses wrote them; the key (study to time_hours, measure, method) is unique.
"""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ketamine_outcomes import files

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "study",
    "cohort",
    "scenario",
    "analysis",
    "outcome",
    "population",
    "contrast",
    "adjustment",
    "window",
    "term",
    "level",
    "time_hours",
    "measure",
    "estimate",
    "std_error",
    "ci_low",
    "ci_high",
    "ci_level",
    "p_value",
    "df",
    "n_patients",
    "n_observations",
    "n_events",
    "unit",
    "method",
    "status",
    "note",
    "definition_hash",
)
NUMBERS = (
    "time_hours",
    "estimate",
    "std_error",
    "ci_low",
    "ci_high",
    "ci_level",
    "p_value",
    "df",
    "n_patients",
    "n_observations",
    "n_events",
)
KEY = (*COLUMNS[: COLUMNS.index("measure") + 1], "method")
#: Columns that hold a result: empty in every row whose status is not `ok`.
RESULTS = (
    "estimate",
    "std_error",
    "ci_low",
    "ci_high",
    "p_value",
    "df",
    "n_patients",
    "n_observations",
    "n_events",
)

MEASURES = frozenset(
    [
        "count",
        "mean",
        "sd",
        "median",
        "quantile",
        "proportion",
        "mean_difference",
        "median_difference",
        "risk_difference",
        "rate_difference",
        "ratio_of_means",
        "rate",
        "rate_ratio",
        "risk_ratio",
        "odds_ratio",
        "hazard_ratio",
        "subdistribution_hazard_ratio",
        "cumulative_incidence",
        "survival_probability",
        "rmst",
        "rmst_difference",
        "restricted_mean_time_lost",
        "rmtl_difference",
        "mean_cumulative_count",
        "nap",
        "tau_u",
        "log_response_ratio",
        "slope",
        "level_change",
        "variance",
        "correlation",
        "smd",
        "effective_sample_size",
        "e_value",
        "tau2",
        "i2",
        "prediction_interval",
        "log_likelihood",
        "statistic",
    ]
)
ADJUSTMENTS = frozenset(("none", "covariates", "overlap", "att", "ate", "aipw"))
STATUSES = frozenset(("ok", "suppressed", "refused", "not_estimable"))


class Rows:
    """Collects the rows of one analysis.

    Parameters
    ----------
    **common
        Cells that all rows share, e.g. `analysis`, `outcome`, `population`.
    """

    def __init__(self, **common: Any) -> None:
        self.common = common
        self.rows: list[dict[str, Any]] = []

    def add(self, measure: str, estimate: float | None = None, **cells: Any) -> None:
        """Add a row with status ok, or not_estimable when the estimate is missing or NaN."""
        row = {**self.common, **cells, "measure": measure, "estimate": estimate}
        if estimate is None or math.isnan(estimate):
            row["estimate"] = None
            row.setdefault("status", "not_estimable")
        self.rows.append(row)

    def refuse(self, measure: str, why: str, **cells: Any) -> None:
        """Add a row that holds no number because the data cannot bear the analysis."""
        self.rows.append(
            {**self.common, **cells, "measure": measure, "status": "refused", "note": why}
        )

    def unknown(self, measure: str, why: str, **cells: Any) -> None:
        """Add a row that holds no number because nothing was observed."""
        self.rows.append(
            {**self.common, **cells, "measure": measure, "status": "not_estimable", "note": why}
        )


def table(rows: list[dict[str, Any]], **stamp: Any) -> pd.DataFrame:
    """Return typed estimates from row dictionaries, each with the cells of `stamp`.

    Raises
    ------
    ValueError
        A column, measure, adjustment or status outside the contract, or a key that is not
        unique: a bug in an analysis, not a user's mistake.
    """
    import pandas as pd

    for row in rows:
        row.update(stamp)
        row.setdefault("adjustment", "none")
        row.setdefault("scenario", "base")
        row.setdefault("status", "ok")
        if unknown := row.keys() - set(COLUMNS):
            raise ValueError(f"not a column of the estimates table: {sorted(unknown)}")
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    for column in COLUMNS:
        if column in NUMBERS:
            frame[column] = pd.to_numeric(frame[column]).astype("float64")
        else:
            frame[column] = frame[column].fillna("").astype(str)
    blank = frame["status"] != "ok"
    frame.loc[blank, list(RESULTS)] = float("nan")
    frame.loc[frame["ci_low"].isna() & frame["ci_high"].isna(), "ci_level"] = float("nan")
    check(frame)
    return frame


def check(frame: pd.DataFrame) -> None:
    """Raise ValueError when `frame` breaks the contract of the estimates table."""
    if tuple(frame.columns) != COLUMNS:
        raise ValueError("the columns of the estimates table differ from the contract")
    for column, words in (
        ("measure", MEASURES),
        ("adjustment", ADJUSTMENTS),
        ("status", STATUSES),
    ):
        if wrong := set(frame[column]) - words:
            raise ValueError(f"{column} holds words outside the contract: {sorted(wrong)}")
    repeated = frame[frame.duplicated(list(KEY), keep=False)]
    if len(repeated):
        keys = repeated[list(KEY)].drop_duplicates().head(3).to_dict("records")
        raise ValueError(f"keys of the estimates table are not unique, e.g. {keys}")
    mute = frame[frame["note"].eq("") & frame["status"].ne("ok")]
    if len(mute):
        keys = mute[list(KEY)].head(3).to_dict("records")
        raise ValueError(f"an estimate without a number must say why in `note`: {keys}")


def number(value: float) -> str:
    """Return a number with 9 significant digits, an empty string for a missing one."""
    if math.isnan(value):
        return ""
    text = f"{value:.9g}"
    return "0" if text == "-0" else text


def to_csv(frame: pd.DataFrame) -> str:
    """Return released CSV: 9 significant digits, formula-like text neutralised.

    A text cell that begins with = + - @ would run as a formula in a spreadsheet: it gets a
    leading apostrophe. Numbers stay numbers.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(frame.columns)
    numeric = [frame[c].dtype.kind in "fi" for c in frame.columns]
    for record in frame.itertuples(index=False):
        writer.writerow(
            number(float(cell)) if is_number else neutral(str(cell) if cell is not None else "")
            for cell, is_number in zip(record, numeric, strict=True)
        )
    return out.getvalue()


def neutral(text: str) -> str:
    """Return text that a spreadsheet will not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def read_csv(path: Path) -> pd.DataFrame:
    """Read a released estimates.csv back into the typed table."""
    import pandas as pd

    frame = pd.read_csv(
        path,
        dtype={c: ("float64" if c in NUMBERS else str) for c in COLUMNS},
        keep_default_na=False,
        na_values={c: [""] for c in NUMBERS},
    )
    check(frame)
    return frame


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write estimates: Parquet in full for private/, 9-digit CSV for release/."""
    check(frame)
    if path.suffix == ".parquet":
        files.write_parquet(path, frame)
    else:
        files.write_text(path, to_csv(frame))


def read(path: Path) -> pd.DataFrame:
    """Read estimates from Parquet or CSV."""
    return files.read_parquet(path) if path.suffix == ".parquet" else read_csv(path)
