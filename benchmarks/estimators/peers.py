"""Python libraries on the same rows: python peers.py TASK FOLDER LIBRARY."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import pandas as pd
from reading import Numbers, run

LIBRARY = sys.argv[3]


def named(names: list[str], estimate: np.ndarray, std_error: np.ndarray | None) -> Numbers:
    out = {f"{n} estimate": b for n, b in zip(names, estimate, strict=True)}
    if std_error is not None:
        out |= {f"{n} std_error": s for n, s in zip(names, std_error, strict=True)}
    return out


def x_columns(data: pd.DataFrame) -> list[str]:
    return [c for c in data.columns if c.startswith("x")]


def mixed_arrays(data: pd.DataFrame) -> tuple[list[str], np.ndarray, np.ndarray]:
    names = ["time", *x_columns(data)]
    x = np.column_stack([np.ones(len(data)), data[names].to_numpy()])
    return names, x, x[:, :2]


def mixedlm_rs() -> dict[str, Callable[[pd.DataFrame], Numbers]]:
    import mixedlm_rs as lib

    def mixed(data: pd.DataFrame) -> Numbers:
        names, x, z = mixed_arrays(data)
        fit = lib.MixedLM(data["y"].to_numpy(), x, data["patient"].to_numpy(), z).fit(reml=True)
        return {**named(names, fit.fe_params[1:], fit.bse_fe[1:]), "log_likelihood": fit.llf}

    return {"mixed": mixed}


def statsmodels() -> dict[str, Callable[[pd.DataFrame], Numbers]]:
    import statsmodels.api as sm

    def mixed(data: pd.DataFrame) -> Numbers:
        names, x, z = mixed_arrays(data)
        fit = sm.MixedLM(data["y"].to_numpy(), x, data["patient"].to_numpy(), z).fit(method="lbfgs")
        return {**named(names, fit.fe_params[1:], fit.bse_fe[1:]), "log_likelihood": fit.llf}

    def cox(data: pd.DataFrame) -> Numbers:
        names = x_columns(data)
        fit = sm.PHReg(
            data["time"].to_numpy(), data[names].to_numpy(), data["event"].to_numpy(), ties="efron"
        ).fit(disp=0)
        return {**named(names, fit.params, fit.bse), "log_likelihood": fit.llf}

    return {"mixed": mixed, "cox": cox, "cox_untied": cox}


def lifelines() -> dict[str, Callable[[pd.DataFrame], Numbers]]:
    from lifelines import CoxPHFitter, CoxTimeVaryingFitter, KaplanMeierFitter

    def cox(data: pd.DataFrame) -> Numbers:
        names = x_columns(data)
        fit = CoxPHFitter().fit(data[["time", "event", *names]], "time", "event")
        return {
            **named(names, fit.params_.to_numpy(), fit.standard_errors_.to_numpy()),
            "log_likelihood": fit.log_likelihood_,
        }

    def cox_robust(data: pd.DataFrame) -> Numbers:
        names = x_columns(data)
        columns = ["time", "event", "site", *names]
        fit = CoxPHFitter().fit(data[columns], "time", "event", cluster_col="site", robust=True)
        return named(names, fit.params_.to_numpy(), fit.standard_errors_.to_numpy())

    def cox_counting(data: pd.DataFrame) -> Numbers:  # no robust standard error here
        names = x_columns(data)
        fit = CoxTimeVaryingFitter().fit(
            data, id_col="patient", event_col="event", start_col="start", stop_col="stop"
        )
        return {
            **named(names, fit.params_[names].to_numpy(), None),
            "log_likelihood": fit.log_likelihood_,
        }

    def kaplan_meier(data: pd.DataFrame) -> Numbers:  # no standard error on this scale
        fit = KaplanMeierFitter().fit(data["time"], data["event"])
        at_risk = fit.event_table["at_risk"].to_numpy()
        return {"estimate": fit.survival_function_.iloc[:, 0].to_numpy()[at_risk >= 20][-1]}

    return {
        "cox": cox,
        "cox_untied": cox,
        "cox_robust": cox_robust,
        "cox_counting": cox_counting,
        "kaplan_meier": kaplan_meier,
    }


def scikit_survival() -> dict[str, Callable[[pd.DataFrame], Numbers]]:
    from sksurv.nonparametric import cumulative_incidence_competing_risks

    def aalen_johansen(data: pd.DataFrame) -> Numbers:  # another standard error
        time = data["time"].to_numpy()
        _, cif = cumulative_incidence_competing_risks(data["event"].to_numpy(), time)
        at_risk = len(time) - np.searchsorted(np.sort(time), np.unique(time))
        return {"estimate": cif[1][at_risk >= 20][-1]}

    return {
        "aalen_johansen": aalen_johansen,
        "aalen_johansen_untied": aalen_johansen,
    }


def comprisk() -> dict[str, Callable[[pd.DataFrame], Numbers]]:
    from comprisk import FineGrayRegression

    def fine_gray(data: pd.DataFrame) -> Numbers:
        names = x_columns(data)
        fit = FineGrayRegression(robust_se=True)
        fit.fit(
            data[names].to_numpy(),
            time=data["time"].to_numpy(),
            event=data["event"].to_numpy(),
        )
        return named(names, np.asarray(fit.coef_), np.asarray(fit.se_))

    return {"fine_gray": fine_gray}


LIBRARIES = {
    "mixedlm-rs": mixedlm_rs,
    "statsmodels": statsmodels,
    "lifelines": lifelines,
    "scikit-survival": scikit_survival,
    "comprisk": comprisk,
}
run(LIBRARIES[LIBRARY](), f"{LIBRARY} {version(LIBRARY)}")
