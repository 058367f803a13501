"""quantile_regression against quantreg, and the cluster formula of Parente & Santos Silva in R."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from golden_support import CLOSED, agree, by_term, frame, golden

from ketamine_outcomes.estimators import quantile_regression

BARRO = (
    "y_net ~ lgdp2 + mse2 + fse2 + fhe2 + mhe2 + lexp2 + lintr2 + gedy2 + Iy2 + gcony2 + lblakp2 "
    "+ pol2 + ttrad2"
)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("quantile_engel", "foodexp ~ income"),
        ("quantile_stackloss", "stack_loss ~ Air_Flow + Water_Temp"),
        ("quantile_barro", BARRO),
        ("quantile_mtcars", "mpg ~ wt + hp + C(cyl)"),
    ],
)
def test_quantreg(name: str, formula: str) -> None:
    data = frame(name.removeprefix("quantile_"))
    r = golden(name)
    several = quantile_regression(formula, data, [one["q"] for one in r])
    for one in r:
        fit = quantile_regression(formula, data, one["q"])
        c = fit.coefficients
        agree(c["estimate"], by_term(one["coef"], c["term"]), CLOSED, "estimate")
        agree(c["std_error"], by_term(one["se"], c["term"]), CLOSED, "std_error")
        agree(c["statistic"], by_term(one["t"], c["term"]), CLOSED, "statistic")
        # R subtracts from 1, so its small p values have few digits
        expected = by_term(one["p"], c["term"])
        np.testing.assert_allclose(c["p_value"], expected, rtol=CLOSED, atol=1e-14)
        agree(fit.covariance, one["covariance"], CLOSED, "covariance")
        agree(fit.table["loss"], [one["loss"]], CLOSED, "loss")
        assert (c["df"] == one["df"]).all()
        same = several.coefficients.query("q == @one['q']").reset_index(drop=True)
        assert same.equals(c)


def test_clusters_of_quantile_dietox_cluster() -> None:
    for one in golden("quantile_dietox_cluster"):
        fit = quantile_regression("Weight ~ Time + Cu", frame("dietox"), one["q"], cluster="Pig")
        c = fit.coefficients
        agree(c["estimate"], by_term(one["coef"], c["term"]), CLOSED, "estimate")
        agree(c["std_error"], by_term(one["se"], c["term"]), CLOSED, "std_error")
        agree(fit.table["bandwidth"], [one["bandwidth"]], CLOSED, "bandwidth")
        assert fit.diagnostics["n_clusters"] == one["n_clusters"]


def test_of_several_best_lines_the_one_of_quantreg_is_given() -> None:
    # coef(quantreg::rq(y ~ x + g + z, tau = 0.5, method = "br")); rounding decides the path
    rows = pd.DataFrame(
        {
            "x": [0, 2, 2, 1, 3, 4, 4, 4, 3, 1, 2, 0, 2, 4, 2, 4, 3, 0, 0, 4],
            "g": list("acaaabcbacbbbbabbcbb"),
            "z": [1, 1, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1, 0, 1, 1, 0, 1, 0, 0, 1],
            "y": [3, 6, 5, 2, 6, 9, 2, 8, 7, 1, -4, -1, 3, 9, 7, 9, 8, -3, 5, 7],
        }
    )
    fit = quantile_regression("y ~ x + g + z", rows, 0.5)
    assert not fit.table["unique"].iloc[0]
    r = {"Intercept": 7 / 3, "x": 4 / 3, "g[T.b]": 2 / 3, "g[T.c]": -10 / 3, "z": 2 / 3}
    agree(fit.coefficients["estimate"], by_term(r, fit.coefficients["term"]), CLOSED, "estimate")
