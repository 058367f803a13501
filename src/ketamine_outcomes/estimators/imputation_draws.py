"""Draws of missing values given complete predictors: one column, once.

Every draw takes the parameters from their posterior first (proper imputation, Rubin 1987).
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from .results import Bools, Floats, Ints, NotEstimable

DONORS = 5  # candidates of predictive mean matching
NO_VARIATION = 1e-8  # share of variance below which a direction of the predictors counts as none
CELLS = 40  # grid of the intraclass correlation
WIDE = 10.0  # coefficient or standard error (logits per SD of a predictor) that tells of separation
MAX_STEPS = 50


def basis(x: Floats, observed: Bools) -> Floats:
    """Uncorrelated predictors with mean 0 and variance 1 in the observed rows.

    Principal components of the correlation matrix; collinear columns fall out, and with many
    columns for few rows the leading components stay, one per two rows.
    """
    seen = x[observed]
    mean, spread = seen.mean(axis=0), seen.std(axis=0)
    varies = spread > NO_VARIATION * np.abs(seen).max(axis=0, initial=0.0)
    if not varies.any():
        return np.empty((x.shape[0], 0))
    z = (x[:, varies] - mean[varies]) / spread[varies]
    values, vectors = np.linalg.eigh(z[observed].T @ z[observed] / seen.shape[0])
    order = np.argsort(values)[::-1][: seen.shape[0] // 2]
    order = order[values[order] > NO_VARIATION * values[order[0]]]
    return np.asarray(z @ (vectors[:, order] / np.sqrt(values[order])))


def nearest(seen: Floats, wanted: Floats, rng: np.random.Generator) -> Ints:
    """Index of a donor for each wanted prediction: one of the nearest in `seen`, at random.

    Donors with the same prediction as the one that was picked are equally likely.
    """
    scale = max(float(np.abs(seen).max()), 1e-300)
    order = np.argsort(np.round(seen / scale, 12), kind="stable")
    values = np.round(seen / scale, 12)[order]
    n, k = values.size, min(DONORS, values.size)
    target = wanted / scale
    window = np.searchsorted(values, target)[:, None] + np.arange(-k, k)
    inside = (window >= 0) & (window < n)
    gap = np.where(inside, np.abs(values[np.clip(window, 0, n - 1)] - target[:, None]), np.inf)
    best = np.argpartition(gap, k - 1, axis=1)[:, :k]
    pick = best[np.arange(target.size), rng.integers(k, size=target.size)]
    value = values[window[np.arange(target.size), pick]]
    low = np.searchsorted(values, value, side="left")
    high = np.searchsorted(values, value, side="right")
    place = low + np.floor(rng.random(target.size) * (high - low)).astype(np.int64)
    return np.asarray(order[place])


def draw_number(x: Floats, y: Floats, observed: Bools, rng: np.random.Generator) -> Ints:
    """Donor row of each missing row by predictive mean matching.

    Matching of type 1: observed rows by the estimated, missing rows by the drawn coefficients
    (Rubin 1986; Morris, White & Royston 2014).
    """
    z, seen = basis(x, observed), y[observed]
    n, r = seen.size, z.shape[1]
    z1 = z[observed]
    mean = seen.mean()
    slope = z1.T @ (seen - mean) / n  # the components are orthonormal
    fitted = mean + z1 @ slope
    free = n - r - 1
    sigma = np.sqrt(float((seen - fitted) @ (seen - fitted)) / rng.chisquare(free))
    noise = rng.standard_normal(r + 1) * sigma / np.sqrt(n)
    wanted = mean + noise[0] + z[~observed] @ (slope + noise[1:])
    return np.flatnonzero(observed)[nearest(fitted, wanted, rng)]


def draw_number_in_cluster(
    x: Floats, y: Floats, observed: Bools, cluster: Ints, rng: np.random.Generator
) -> Ints:
    """Row to copy for each missing row, by a normal model with a random intercept per cluster.

    The intraclass correlation is drawn from its marginal posterior (uniform prior, on a grid),
    then the residual variance, the coefficients and the intercepts from their conditionals, so no
    chain has to converge (flat priors; Box & Tiao 1973, chapter 7). To the drawn mean comes a
    residual of an observed row, scaled to the drawn variance, and the observed value nearest to
    the sum is taken. (Matching on predicted means would be biased here: an estimated intercept
    holds a share of the residuals of its own rows.)
    """
    z = np.column_stack([np.ones(y.size), basis(x, observed)])
    z1, y1, g1 = z[observed], y[observed] - y[observed].mean(), cluster[observed]
    units, (n, p) = int(cluster.max()) + 1, z1.shape
    size = np.bincount(g1, minlength=units).astype(float)
    sum_y = np.bincount(g1, y1, units)
    sum_z = np.column_stack([np.bincount(g1, column, units) for column in z1.T])
    zz, zy, yy = z1.T @ z1, z1.T @ y1, float(y1 @ y1)

    def solve(ratio: float) -> tuple[Floats, Floats, float, Floats]:
        shrink = ratio / (1 + size * ratio)
        a = zz - sum_z.T @ (shrink[:, None] * sum_z)
        b = zy - sum_z.T @ (shrink * sum_y)
        beta = np.linalg.solve(a, b)
        rss = yy - float(shrink @ sum_y**2) - float(b @ beta)
        return np.asarray(beta), np.asarray(a), max(rss, 1e-12 * yy), np.asarray(shrink)

    def log_density(correlation: float) -> float:
        ratio = correlation / (1 - correlation)
        _, a, rss, _ = solve(ratio)
        log_det = np.linalg.slogdet(a)[1]
        spread = float(np.log1p(size * ratio).sum())
        return float(-0.5 * (spread + log_det + (n - p) * np.log(rss)))

    height = np.array([log_density((i + 0.5) / CELLS) for i in range(CELLS)])
    share = np.exp(height - height.max())
    correlation = (rng.choice(CELLS, p=share / share.sum()) + rng.random()) / CELLS
    ratio = min(correlation, 1 - 1e-6) / (1 - min(correlation, 1 - 1e-6))
    beta, a, rss, shrink = solve(ratio)
    sigma = np.sqrt(rss / rng.chisquare(n - p))
    drawn = beta + sigma * np.linalg.solve(np.linalg.cholesky(a).T, rng.standard_normal(p))
    spread = sigma * np.sqrt(shrink)
    intercept = shrink * (sum_y - sum_z @ drawn) + spread * rng.standard_normal(units)
    residual = y1 - z1 @ beta - (shrink * (sum_y - sum_z @ beta))[g1]
    residual = residual * (sigma / max(float(residual.std()), 1e-300))
    wanted = z[~observed] @ drawn + intercept[cluster[~observed]]
    wanted = wanted + rng.choice(residual, wanted.size)
    order = np.argsort(y1, kind="stable")
    right = np.clip(np.searchsorted(y1[order], wanted), 1, n - 1)
    left_is_nearer = wanted - y1[order][right - 1] < y1[order][right] - wanted
    return np.asarray(np.flatnonzero(observed)[order[right - left_is_nearer]])


def draw_level(x: Floats, y: Ints, levels: int, observed: Bools, rng: np.random.Generator) -> Ints:
    """Level of each missing row by logistic (two levels) or multinomial regression.

    Where the predictors separate the levels, pseudo-rows with a total weight of one per
    coefficient of a logit stand one standard deviation either side of the mean of each predictor
    (White, Daniel & Royston 2010).
    """
    z = np.column_stack([np.ones(y.size), basis(x, observed)])
    z1 = z[observed]
    hit = (y[observed] == np.arange(levels)[:, None]).astype(float)
    weight = np.ones(z1.shape[0])
    fit = _multinomial(z1, hit, weight)
    if fit is None:
        p = z1.shape[1]
        corner = np.vstack([np.eye(p)[1:], -np.eye(p)[1:]])
        corner[:, 0] = 1.0
        extra = np.repeat(corner, levels, axis=0)
        z1 = np.vstack([z1, extra])
        hit = np.hstack([hit, np.tile(np.eye(levels), corner.shape[0])])
        weight = np.r_[weight, np.full(extra.shape[0], p / extra.shape[0])]
        fit = _multinomial(z1, hit, weight, accept_wide=True)
    if fit is None:
        raise NotEstimable(f"a column with {levels} levels cannot be imputed: join rare levels")
    theta, root = fit
    drawn = theta + root @ rng.standard_normal(theta.size)
    share = _shares(z[~observed], drawn.reshape(levels - 1, -1))
    below = np.cumsum(share, axis=0)[:-1]
    return np.asarray((rng.random(share.shape[1]) > below).sum(axis=0))


def _shares(z: Floats, theta: Floats) -> Floats:
    """Probability of each level (rows) for each row of the predictors (columns)."""
    eta = np.vstack([np.zeros(z.shape[0]), theta @ z.T])
    eta -= eta.max(axis=0)
    np.exp(eta, out=eta)
    eta /= eta.sum(axis=0)
    return eta


def _multinomial(
    z: Floats, hit: Floats, weight: Floats, accept_wide: bool = False
) -> tuple[Floats, Floats] | None:
    """Log odds against level 0 and a root of their covariance; None when they are separated."""
    p, k = z.shape[1], hit.shape[0] - 1

    def fit(theta: Floats) -> tuple[float, Floats]:
        share = _shares(z, theta)
        own = np.maximum((share * hit).sum(axis=0), 1e-300)
        return float(weight @ np.log(own)), share

    theta = np.zeros((k, p))
    height, share = fit(theta)
    for _ in range(MAX_STEPS):
        gradient = (weight * (hit[1:] - share[1:])) @ z
        information = np.empty((k, p, k, p))
        for i in range(k):
            for j in range(i, k):
                w = weight * share[i + 1] * ((i == j) - share[j + 1])
                block = z.T @ (w[:, None] * z)
                information[i, :, j, :], information[j, :, i, :] = block, block.T
        flat = information.reshape(k * p, k * p)
        try:
            root = np.linalg.cholesky(flat)
        except np.linalg.LinAlgError:
            return None
        step = np.asarray(linalg.cho_solve((root, True), gradient.reshape(-1))).reshape(k, p)
        if not np.isfinite(step).all():
            return None
        for _ in range(MAX_STEPS):
            higher, share = fit(theta + step)
            if higher >= height - 1e-9 * (1 + abs(height)):
                break
            step = step / 2
        theta, height = theta + step, higher
        if np.abs(theta[:, 1:]).max(initial=0.0) > WIDE and not accept_wide:
            return None
        if np.abs(step).max() < 1e-6 * (1 + np.abs(theta).max()):
            covariance_root = np.asarray(np.linalg.inv(root)).T
            wide = np.sqrt((covariance_root**2).sum(axis=1).max()) > WIDE
            return None if wide and not accept_wide else (np.ravel(theta), covariance_root)
    return None
