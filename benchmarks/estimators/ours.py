"""The estimators of this project: one whole call each, from DataFrame to result."""

from __future__ import annotations

from importlib.metadata import version

import pandas as pd
from reading import Numbers, run

from ketamine_outcomes import estimators as est

X10 = " + ".join(f"x{j}" for j in range(10))
X6 = " + ".join(f"x{j}" for j in range(6))
X5 = " + ".join(f"x{j}" for j in range(5))


def terms(result: est.Result) -> Numbers:
    table = result.coefficients.set_index("term")
    return {
        **{f"{t} estimate": e for t, e in table["estimate"].items() if t != "Intercept"},
        **{f"{t} std_error": s for t, s in table["std_error"].items() if t != "Intercept"},
    }


def last(curve: pd.DataFrame) -> Numbers:
    row = curve[curve["n_at_risk"] >= 20].iloc[-1]
    return {"estimate": row["estimate"], "std_error": row["std_error"]}


def mixed(data: pd.DataFrame) -> Numbers:
    formula = "y ~ time + x1 + x2 + x3 + x4"
    fit = est.linear_mixed(formula, data, "patient", "1 + time", df="normal")
    return {**terms(fit), "log_likelihood": fit.log_likelihood}


def cox(data: pd.DataFrame) -> Numbers:
    fit = est.cox(X10, data, "time", "event")
    return {**terms(fit), "log_likelihood": fit.log_likelihood}


def cox_robust(data: pd.DataFrame) -> Numbers:
    return terms(est.cox(X10, data, "time", "event", cluster="site"))


def cox_counting(data: pd.DataFrame) -> Numbers:
    fit = est.cox(X6, data, "stop", "event", entry="start", cluster="patient")
    return {**terms(fit), "log_likelihood": fit.log_likelihood}


def kaplan_meier(data: pd.DataFrame) -> Numbers:
    return last(est.kaplan_meier(data, "time", "event").curve)


def aalen_johansen(data: pd.DataFrame) -> Numbers:
    curve = est.aalen_johansen(data, "time", "event", variance="jackknife").curve
    return last(curve[curve["cause"] == 1])


def fine_gray(data: pd.DataFrame) -> Numbers:
    return terms(est.fine_gray(X5, data, "time", "event"))


run(
    {
        "mixed": mixed,
        "cox": cox,
        "cox_untied": cox,
        "cox_robust": cox_robust,
        "cox_counting": cox_counting,
        "kaplan_meier": kaplan_meier,
        "aalen_johansen": aalen_johansen,
        "aalen_johansen_untied": aalen_johansen,
        "fine_gray": fine_gray,
    },
    f"ketamine-outcomes {version('ketamine-outcomes')}",
)
