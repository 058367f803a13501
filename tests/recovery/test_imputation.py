"""Imputation recovers a known truth where complete cases do not."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ketamine_outcomes.estimators import impute_chained, linear_mixed, pool_imputations

TRUTH = np.array([1.0, 1.0, 0.5, 1.0, -0.5, 0.7])  # intercept, x1, x2, flag, kind b, kind c


def _expit(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _patients(seed: int, n: int = 250) -> pd.DataFrame:
    """Number, 0 / 1 and words that go missing depending on the outcome."""
    rng = np.random.default_rng(seed)
    x1 = rng.normal(size=n)
    x2 = 0.5 * x1 + rng.normal(size=n)
    flag = (rng.random(n) < _expit(0.8 * x1 - 0.3)).astype(float)
    odds = np.exp(np.column_stack([0 * x1, 0.5 * x1 - 0.2, -0.5 * x2]))
    below = np.cumsum(odds / odds.sum(axis=1, keepdims=True), axis=1)[:, :2]
    kind = np.array(list("abc"))[(rng.random((n, 1)) > below).sum(axis=1)]
    mean = 1 + x1 + 0.5 * x2 + flag - 0.5 * (kind == "b") + 0.7 * (kind == "c")
    d = pd.DataFrame(
        {"y": mean + rng.normal(size=n), "x1": x1, "x2": x2, "flag": flag, "kind": kind}
    )
    lost = 0.8 * _expit(-1.2 + 0.5 * (d["y"].to_numpy() - 1) + 0.3 * x1)
    for column in ("x2", "flag", "kind"):
        d.loc[rng.random(n) < lost, column] = None
    return d


def _fit(d: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    x = np.column_stack(
        [np.ones(len(d)), d["x1"], d["x2"], d["flag"], d["kind"] == "b", d["kind"] == "c"]
    ).astype(float)
    y = d["y"].to_numpy()
    beta = np.linalg.lstsq(x, y, rcond=None)[0]
    variance = ((y - x @ beta) ** 2).sum() / (len(d) - x.shape[1])
    return beta, np.sqrt(np.diag(np.linalg.inv(x.T @ x)) * variance)


def test_missing_at_random_is_recovered() -> None:
    errors, incomplete, inside = [], [], []
    for seed in range(16):
        d = _patients(seed)
        fits = [_fit(c) for c in impute_chained(d, seed=seed, m=5).data]
        pooled = pool_imputations([b for b, _ in fits], [s for _, s in fits], len(d) - 6)
        c = pooled.coefficients
        errors.append((c["estimate"] - TRUTH).to_numpy())
        inside.append(((c["ci_low"] < TRUTH) & (c["ci_high"] > TRUTH)).to_numpy())
        incomplete.append(_fit(d.dropna())[0] - TRUTH)
    bias = np.mean(errors, axis=0)
    noise = np.std(errors, axis=0, ddof=1) / 4
    assert (np.abs(bias) < 4 * noise).all()
    assert np.mean(inside) > 0.88  # 96 intervals
    assert abs(bias[0]) < 0.1 < abs(np.mean(incomplete, axis=0)[0])  # intercept


def _repeated() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patients with five days each: a score and a 0 / 1 that run together inside patients."""
    rng = np.random.default_rng(17)
    units, days = 250, 5
    patient, day = np.repeat(np.arange(units), days), np.tile(np.arange(5.0), units)
    n = patient.size
    weight, tendency = rng.normal(size=units), rng.normal(size=units)
    score = (2 + 0.5 * weight + tendency)[patient] - 0.3 * day + rng.normal(size=n)
    hit = (rng.random(n) < _expit((1.2 * tendency)[patient])).astype(float)
    full = pd.DataFrame(
        {"patient": patient, "day": day, "score": score, "weight": weight[patient], "hit": hit}
    )
    d = full.copy()
    d.loc[(rng.random(n) < _expit(-1.3 + 0.3 * day)) & (day > 0), "score"] = np.nan
    d.loc[(rng.random(n) < 0.25) & (day > 0), "hit"] = np.nan
    first = score[day == 0]
    d.loc[(rng.random(units) < _expit(-1.2 + 0.4 * (first - 2)))[patient], "weight"] = np.nan
    return full, d


def _within(d: pd.DataFrame) -> float:
    """Correlation of `hit` between two days of one patient."""
    h = d["hit"] - d["hit"].mean()
    sums, squares = h.groupby(d["patient"]).sum(), (h**2).groupby(d["patient"]).sum()
    return float((sums**2 - squares).mean() / 20 / (h**2).mean())


def test_likeness_inside_patients_is_kept() -> None:
    full, d = _repeated()
    completed = impute_chained(d, seed=1, cluster="patient", m=4).data
    fits = [linear_mixed("score ~ day + weight", c, "patient") for c in completed]
    pooled = pool_imputations(
        [f.coefficients["estimate"] for f in fits], [f.coefficients["std_error"] for f in fits], 240
    ).coefficients
    assert (np.abs(pooled["estimate"] - [2, -0.3, 0.5]) < 3 * pooled["std_error"]).all()
    between = np.mean([f.diagnostics["variance_components"]["Intercept"] for f in fits])
    truth = linear_mixed("score ~ day + weight", full, "patient")
    expected = truth.diagnostics["variance_components"]["Intercept"]
    assert abs(between / expected - 1) < 0.15
    assert abs(np.mean([_within(c) for c in completed]) - _within(full)) < 0.05
