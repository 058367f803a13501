"""Propensity weights and balance against formulas in R."""

from __future__ import annotations

import numpy as np
import pytest
from golden_support import CLOSED, OPTIMISED, agree, by_term, frame, golden

from ketamine_outcomes.estimators import propensity_weights, standardised_mean_difference

PS = "treat ~ age + female + severity + dialysis + baseline_pain"
TARGET = {"ate": "ATE", "att": "ATT", "overlap": "ATO"}


@pytest.mark.parametrize("target", TARGET)
@pytest.mark.parametrize(("name", "trim"), [("ps_continuous", None), ("ps_trimmed", 0.1)])
def test_weights(name: str, trim: float | None, target: str) -> None:
    r, d = golden(name), frame("ps")
    fit = propensity_weights(PS, d, target, trim)
    c, part = fit.coefficients, r[TARGET[target]]
    assert fit.diagnostics["n_observations"] == r["n"]
    assert fit.diagnostics["n_treated"] == r["n_treated"]
    agree(c["estimate"], by_term(r["propensity_coef"], c["term"]), OPTIMISED)
    agree(fit.table["propensity"][:5], r["propensity_first5"], OPTIMISED)
    agree(fit.table["weight"][:5], part["weights_first5"], OPTIMISED)
    agree(fit.diagnostics["effective_sample_size_treated"], part["ess_treated"], OPTIMISED)
    agree(fit.diagnostics["effective_sample_size_comparator"], part["ess_control"], OPTIMISED)
    kept = d.iloc[fit.table["row"]].reset_index(drop=True)
    for i, term in enumerate(part["balance"]["term"]):
        if term not in kept:
            level = term.removeprefix("dialysis")
            values = (kept["dialysis"] == level).astype(float)
        else:
            values = kept[term]
        plain = standardised_mean_difference(values, kept["treat"])
        weighted = standardised_mean_difference(values, kept["treat"], fit.table["weight"])
        agree(plain, part["balance"]["smd_unweighted"][i], CLOSED)
        expected = part["balance"]["smd_weighted_unweighted_sd"][i]
        np.testing.assert_allclose(weighted, expected, rtol=OPTIMISED, atol=1e-10)


def test_veteran() -> None:
    r = golden("veteran_ps")
    d = frame("veteran")
    d = d.assign(treat=(d["prior"] == 10) * 1)
    fit = propensity_weights("treat ~ age + karno + diagtime + celltype", d)
    c = fit.coefficients
    agree(c["estimate"], by_term(r["propensity_coef"], c["term"]), OPTIMISED)
    agree(fit.table["weight"][:5], r["ATO"]["weights_first5"], OPTIMISED)
    agree(fit.diagnostics["effective_sample_size_treated"], r["ATO"]["ess_treated"], OPTIMISED)


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
