"""Propensity weights, balance and weighted contrasts against formulas and glm in R."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from golden_support import CLOSED, OPTIMISED, agree, by_term, frame, golden

from ketamine_outcomes.estimators import (
    Result,
    aipw,
    balance,
    propensity_weights,
    standardised_mean_difference,
    weighted_difference,
)

PS = "treat ~ age + female + severity + dialysis + baseline_pain"
VETERAN = "treat ~ age + karno + diagtime + celltype"
TARGET = {"ate": "ATE", "att": "ATT", "overlap": "ATO"}


def veteran() -> pd.DataFrame:
    return frame("veteran").assign(
        treat=lambda d: (d["prior"] == 10) * 1, y=lambda d: np.log(d["time"])
    )


# id, rows, propensity, outcome, cluster, trim
STUDIES: list[tuple[str, Any, str, str, str | None, float | None]] = [
    ("ps_continuous", lambda: frame("ps"), PS, "pain", None, None),
    ("ps_trimmed", lambda: frame("ps"), PS, "pain", None, 0.1),
    ("ps_cluster", lambda: frame("ps"), PS, "pain", "site", None),
    ("ps_binary", lambda: frame("ps"), PS, "responder", None, None),
    ("veteran_ps", veteran, VETERAN, "y", None, None),
]
study = pytest.mark.parametrize(
    ("name", "rows", "propensity", "outcome", "cluster", "trim"),
    STUDIES,
    ids=[s[0] for s in STUDIES],
)


@study
@pytest.mark.parametrize("target", TARGET)
def test_weights_and_balance(
    name: str, rows: Any, propensity: str, outcome: str, cluster: Any, trim: Any, target: str
) -> None:
    r, d = golden(name), rows()
    fit = propensity_weights(propensity, d, target, trim)
    c, part = fit.coefficients, r[TARGET[target]]
    assert fit.diagnostics["n_observations"] == r["n"]
    assert fit.diagnostics["n_treated"] == r["n_treated"]
    agree(c["estimate"], by_term(r["propensity_coef"], c["term"]), OPTIMISED)
    agree(fit.table["propensity"][:5], r["propensity_first5"], OPTIMISED)
    agree(fit.table["weight"][:5], part["weights_first5"], OPTIMISED)
    agree(fit.diagnostics["effective_sample_size_treated"], part["ess_treated"], OPTIMISED)
    agree(fit.diagnostics["effective_sample_size_comparator"], part["ess_control"], OPTIMISED)

    kept = d.iloc[fit.table["row"]].reset_index(drop=True)
    covariates = [v.strip() for v in propensity.split("~")[1].split("+")]
    table = balance(kept, covariates, "treat", fit.table["weight"]).table
    ours = table.assign(term=table["term"] + table["level"]).set_index("term")
    ours = ours.loc[part["balance"]["term"]]
    agree(ours["smd"], part["balance"]["smd_unweighted"], CLOSED)
    np.testing.assert_allclose(  # overlap weights balance exactly: 0 up to rounding
        ours["smd_weighted"],
        part["balance"]["smd_weighted_unweighted_sd"],
        rtol=OPTIMISED,
        atol=1e-10,
    )


@study
@pytest.mark.parametrize("target", TARGET)
def test_contrasts(
    name: str, rows: Any, propensity: str, outcome: str, cluster: Any, trim: Any, target: str
) -> None:
    part, d = golden(name)[TARGET[target]], rows()

    def fit(measure: str) -> Result:
        return weighted_difference(
            f"{outcome} ~ treat", propensity, d, target, cluster, trim, measure
        )

    result = fit("difference")
    row = result.coefficient("treat")
    agree(row["estimate"], part["difference"], OPTIMISED)
    agree(row["std_error"], part["se_stacked_sandwich"], OPTIMISED)
    agree(row[["ci_low", "ci_high"]], part["ci95"], OPTIMISED)
    agree(
        result.diagnostics["std_error_weights_known"],
        part["se_weights_treated_as_known"],
        OPTIMISED,
    )
    means = result.table.set_index("group")
    agree(means["estimate"], [part["mean_control"], part["mean_treated"]], OPTIMISED)
    covariance = np.array(part["vcov_means_stacked"]["values"])
    agree(means["std_error"] ** 2, np.diag(covariance)[::-1], OPTIMISED)
    between = (means["std_error"] ** 2).sum() - row["std_error"] ** 2
    np.testing.assert_allclose(between / 2, covariance[0, 1], rtol=OPTIMISED, atol=1e-8)
    agree(means["effective_sample_size"], [part["ess_control"], part["ess_treated"]], OPTIMISED)
    for measure, key in (("ratio", "log_risk_ratio"), ("odds_ratio", "log_odds_ratio")):
        if key in part:
            row = fit(measure).coefficient("treat")
            agree(row["estimate"], part[key]["estimate"], OPTIMISED)
            agree(row["std_error"], part[key]["se_stacked"], OPTIMISED)


@pytest.mark.parametrize("target", TARGET)
def test_standard_error_is_the_infinitesimal_jackknife(target: str) -> None:
    r = golden("ps_check_infinitesimal_jackknife")
    fit = weighted_difference("pain ~ treat", PS, frame("ps"), target)
    agree(fit.coefficients["std_error"], r[TARGET[target]], OPTIMISED)


def test_smd_table() -> None:
    r, d = golden("ps_smd_table"), frame("ps")
    for name in ("age", "severity", "baseline_pain"):
        agree(standardised_mean_difference(d[name], d["treat"]), r[name], CLOSED)
    agree(
        standardised_mean_difference(d["female"], d["treat"]), r["female_sample_variance"], CLOSED
    )
    agree(
        standardised_mean_difference(d["dialysis"], d["treat"]),
        r["dialysis_mahalanobis_yang_dalton"],
        CLOSED,
    )
    table = balance(d, ["age", "severity", "baseline_pain", "female", "dialysis"], "treat").table
    whole = table[table["level"] == ""].set_index("term")["smd"]
    agree(whole["age"], r["age"], CLOSED)
    agree(whole["female"], r["female_sample_variance"], CLOSED)
    agree(whole["dialysis"], r["dialysis_mahalanobis_yang_dalton"], CLOSED)


# ------------------------------------------------------------------------- public data, refitted

SMOKE = "smoke ~ age + lwt + C(race) + ptl + ht"
YEAR = "year_round ~ meals + ell + stype"
# id, call, propensity, outcome, cluster, trim
PUBLIC: list[tuple[str, Any, str, str, str | None, float | None]] = [
    ("birthwt_weighted", weighted_difference, SMOKE, "low ~ smoke", None, None),
    (
        "birthwt_weighted_regression",
        weighted_difference,
        SMOKE,
        "bwt ~ smoke + age + lwt + ui",
        None,
        None,
    ),
    ("birthwt_weighted_logistic", weighted_difference, SMOKE, "low ~ smoke + lwt + ui", None, None),
    ("birthwt_aipw_linear", aipw, SMOKE, "bwt ~ smoke + age + lwt + C(race) + ui", None, 0.15),
    ("birthwt_aipw_logistic", aipw, SMOKE, "low ~ lwt + ui", None, None),
    (
        "infert_aipw_cluster",
        aipw,
        "any ~ age + parity + education",
        "case ~ any * induced + age",
        "stratum",
        None,
    ),
    ("schools_weighted_cluster", weighted_difference, YEAR, "api00 ~ year_round", "dnum", None),
    ("schools_aipw_cluster", aipw, YEAR, "api00 ~ api99 + mobility", "dnum", None),
]


@pytest.mark.parametrize(
    ("name", "call", "propensity", "outcome", "cluster", "trim"), PUBLIC, ids=[p[0] for p in PUBLIC]
)
@pytest.mark.parametrize("target", TARGET)
def test_public_contrasts(
    name: str, call: Any, propensity: str, outcome: str, cluster: Any, trim: Any, target: str
) -> None:
    d = frame(name.split("_")[0])
    if "spontaneous" in d:
        d = d.assign(any=(d["spontaneous"] > 0) * 1)
    r = golden(name)
    part = r[target]
    for measure in ("difference", "ratio", "odds_ratio"):
        if measure not in part:
            continue
        fit = call(outcome, propensity, d, target, cluster, trim, measure)
        assert fit.diagnostics["n_observations"] == r["n"]
        row = fit.coefficients.iloc[0]
        agree(row["estimate"], part[measure]["estimate"], OPTIMISED)
        agree(row["std_error"], part[measure]["se"], OPTIMISED)
        means = fit.table
        agree(means["estimate"], [part["mean_comparator"], part["mean_treated"]], OPTIMISED)
        agree(means["std_error"], [part["se_mean_comparator"], part["se_mean_treated"]], OPTIMISED)
