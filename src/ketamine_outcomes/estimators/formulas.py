"""From a Wilkinson formula and a DataFrame to a design matrix, by formulaic."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .inputs import complete_rows, named, readable, refuse_extreme, require_columns
from .results import Floats, InvalidInput

# beside formulaic's own (log, exp, scale, bs, poly, C ...)
FUNCTIONS = {"sqrt": np.sqrt, "abs": np.abs, "sin": np.sin, "cos": np.cos}
BACKTICKS = re.compile("`([^`]*)`")  # around a column name that is no Python name


@dataclass(frozen=True)
class Design:
    """Design matrix of a formula, with the rows of the data that it uses."""

    x: Floats
    terms: list[str]
    y: Floats | None
    data: pd.DataFrame
    n_dropped: int
    spec: Any
    index: pd.Index  # labels of these rows in the data that were given

    def new(self, data: pd.DataFrame) -> Floats:
        """Columns `terms` for other rows, with the levels and transforms of the fitted rows."""
        from formulaic.errors import DataMismatchWarning

        if not isinstance(data, pd.DataFrame) or len(data) == 0:
            raise InvalidInput("new_data is no DataFrame or holds no row")
        used = [v for v in _columns("", self.spec.formula) if v in data.columns]
        require_columns(data, used)
        data = data[used].assign(**{name: readable(data[name]) for name in used})
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                # formulaic would take an unknown level for the reference level
                warnings.simplefilter("error", DataMismatchWarning)
                matrix = self.spec.get_model_matrix(data, na_action="raise", context=FUNCTIONS)
            values = np.asarray(matrix, float)
        except (*_formula_errors(), DataMismatchWarning) as error:
            raise InvalidInput(
                "new_data lacks a column of the formula, or holds a missing value or a level "
                f"that the fit never saw ({type(error).__name__})"
            ) from None
        if not np.isfinite(values).all():
            raise InvalidInput("new_data holds values that are not finite")
        refuse_extreme(values, "new_data")
        kept = [i for i, c in enumerate(self.spec.column_names) if str(c) in self.terms]
        return values[:, kept] if len(kept) < values.shape[1] else values


def _formula_errors() -> tuple[type[Exception], ...]:
    """What formulaic, or the functions inside a formula, may raise."""
    from formulaic.errors import FormulaicError

    return (
        FormulaicError,
        ArithmeticError,
        AttributeError,
        LookupError,
        NameError,
        SyntaxError,
        TypeError,
        ValueError,
    )


def _formula(formula: str, response: bool, intercept: bool = True) -> Any:
    from formulaic import Formula  # lazy: 1 s

    if not isinstance(formula, str) or not formula.strip():
        raise InvalidInput("the formula must be text such as 'y ~ x1 + x2'")
    try:
        # the baseline hazard is an intercept: "0 + arm" codes as "arm" there, as in coxph
        parsed = Formula(formula if intercept else f"{formula} + 1")
    except _formula_errors() as error:
        raise _unreadable(formula, error) from None
    two_sided = hasattr(parsed, "lhs")
    terms = list(parsed.rhs if two_sided else parsed)
    constant = "1" in terms and any("Intercept" in term.factors for term in terms)
    if constant or {"", "0", "1"} & set(BACKTICKS.findall(formula)):
        raise InvalidInput(
            "formulaic takes a column named Intercept, 1, 0 or nothing for the intercept: rename it"
        )
    if response and not two_sided:
        raise InvalidInput("the formula needs a response, as in 'y ~ x'")
    if not response and two_sided:
        raise InvalidInput("the formula has no response here: write 'x1 + x2' only")
    return parsed


def _unreadable(formula: str, error: Exception) -> InvalidInput:
    where = ": groups and random effects have their own argument" if "|" in formula else ""
    return InvalidInput(f"the formula cannot be read ({type(error).__name__}){where}")


def _columns(formula: str, parsed: Any) -> list[str]:
    """Columns that a formula needs.

    formulaic's own list cuts a name at its first dot (`wt.loss` of R's data sets), as if the rest
    were an attribute, and is empty for functions such as poly.
    """
    from formulaic.transforms import TRANSFORMS

    known = {*TRANSFORMS, *FUNCTIONS}
    sides = [parsed.lhs, parsed.rhs] if hasattr(parsed, "lhs") else [parsed]
    names: set[str] = set()
    called: set[str] = set()
    flips = False
    try:
        for factor in {f for side in sides for term in side for f in term.factors}:
            if factor.eval_method.value == "lookup":
                names.add(factor.expr)
            elif factor.eval_method.value == "python":
                flips |= "^" in factor.expr
                names.update(BACKTICKS.findall(factor.expr))
                for node in ast.walk(ast.parse(BACKTICKS.sub("C", factor.expr), mode="eval")):
                    if isinstance(node, ast.Name) and node.id not in known:
                        names.add(node.id)
                    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                        called.add(node.func.id)
                        if node.func.id == "Q":
                            names.update(ast.literal_eval(a) for a in node.args)
    except _formula_errors() as error:
        raise _unreadable(formula, error) from None
    if flips:
        raise InvalidInput("inside a function ^ is no power (it flips bits): write x**2")
    unknown = sorted(called - known)
    if unknown:
        raise InvalidInput(
            f"the formula calls {', '.join(unknown)}, which it does not know: C(x) makes a factor, "
            "numpy gives functions such as np.floor(x); strata, cluster and offset are arguments"
        )
    return sorted(names)


def formula_columns(formula: str, response: bool = False) -> list[str]:
    """Columns that a formula needs."""
    return _columns(formula, _formula(formula, response))


def design(
    formula: str,
    data: pd.DataFrame,
    also: Sequence[str | None] = (),
    *,
    response: bool = True,
    intercept: bool = True,
) -> Design:
    """Evaluate a formula on the rows that are complete in it and in the columns `also`.

    Parameters
    ----------
    formula
        Wilkinson formula; treatment contrasts, levels in sorted order.
    also
        Further columns that must be complete (None is skipped).
    response
        Whether the formula has a left side.
    intercept
        False takes the intercept out after coding (hazard models).
    """
    from formulaic.errors import DataMismatchWarning

    extra = require_columns(data, also)
    parsed = _formula(formula, response, intercept)
    used = require_columns(data, _columns(formula, parsed))
    needed = list(dict.fromkeys([*used, *extra]))
    rows, dropped = complete_rows(data, needed)
    index = data.index[data[needed].notna().all(axis=1).to_numpy()] if dropped else data.index
    for name in used:
        rows[name] = readable(rows[name])
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):  # what is not finite is refused
            warnings.simplefilter("error", DataMismatchWarning)  # levels left out of C(x, levels=)
            matrices = parsed.get_model_matrix(rows, na_action="raise", context=FUNCTIONS)
    except (*_formula_errors(), DataMismatchWarning) as error:
        raise InvalidInput(
            f"the formula cannot be evaluated on the data ({type(error).__name__})"
        ) from None
    right = matrices.rhs if response else matrices
    if not hasattr(right, "columns"):
        raise InvalidInput("the formula must have one right side, without '|'")
    y = None
    try:
        x = np.asarray(right, float)
        # a copy: the rows may be the caller's
        left = np.array(matrices.lhs, float) if response else None
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput("the formula gives something else than numbers") from None
    if left is not None:
        factors = matrices.lhs.model_spec.encoder_state.values()
        if left.shape[1] != 1 or any(kind.value == "categorical" for kind, _ in factors):
            raise InvalidInput("the response must be one numeric column")
        y = left.reshape(-1)
        if not np.isfinite(y).all():
            raise InvalidInput("the response holds values that are not finite")
        refuse_extreme(y, "the response")
    terms = [str(c) for c in right.columns]
    if not intercept and "Intercept" in terms:
        keep = [i for i, t in enumerate(terms) if t != "Intercept"]
        x, terms = x[:, keep], [terms[i] for i in keep]
    bad = [t for t, finite in zip(terms, np.isfinite(x).all(axis=0), strict=True) if not finite]
    if bad:
        raise InvalidInput(f"{named(bad)} holds values that are not finite")
    for term, column in zip(terms, x.T, strict=True):
        refuse_extreme(column, named([term]))
    return Design(x, terms, y, rows, dropped, right.model_spec, index)
