"""The models of ``fastcore.avellaneda``: their parameters with the rules, and the solution of the exact one on NumPy.

Everything here runs once, when a quoter is made; a quote is made of constants.
"""

from math import inf, isfinite, log1p
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import range_error

__all__ = ["MODELS", "solve_depths"]

Doubles = npt.NDArray[np.float64]

# Names and defaults of the parameters of each model; `...` has no default.
_COMMON: dict[str, Any] = {
    "inventory_unit": 1.0,
    "inventory_limit": inf,
    "tick_size": 0.01,
    "increment_ticks": 1,
    "low_increment_ticks": 1,
    "low_below_ticks": 0,
    "min_spread_ticks": 1,
}
_FILLS: dict[str, Any] = {"sigma": ..., "A": ..., "k": ..., "drift": 0.0, "adverse_selection": 0.0}
MODELS: dict[str, dict[str, Any]] = {
    "avellaneda_stoikov": {"gamma": ..., "sigma": ..., "k": ...},
    "avellaneda_stoikov_infinite": {"gamma": ..., "sigma": ..., "k": ..., "max_inventory": ..., "omega": None},
    "glft": {"gamma": ..., **_FILLS},
    "general": {"gamma": ..., "xi": ..., **_FILLS, "order_size": 1.0},
    "exact": {"gamma": ..., **_FILLS, "max_inventory": ..., "horizon": None, "rows": 129, "xi": None, "order_size": 1.0},
    "simplified": {"gamma": ..., "sigma": ..., "limit": ..., "horizon": 1.0, "spread_factor": 1.0},
}


# Rules by parameter name: text, lower bound, whether the bound itself is allowed.
_RULES = {
    "gamma": (0.0, False),
    "sigma": (0.0, True),
    "k": (0.0, False),
    "A": (0.0, False),
    "xi": (0.0, True),
    "order_size": (0.0, False),
    "adverse_selection": (0.0, True),
    "horizon": (0.0, False),
    "omega": (0.0, False),
    "limit": (0.0, False),
    "spread_factor": (0.0, False),
    "inventory_unit": (0.0, False),
    "inventory_limit": (0.0, False),
    "tick_size": (0.0, False),
    "drift": (-inf, False),
    "terminal_penalty": (0.0, True),
}
_WHOLE = {
    "max_inventory": (1, 10_000),
    "rows": (2, 100_000),
    "increment_ticks": (1, 2**31 - 1),
    "low_increment_ticks": (1, 2**31 - 1),
    "low_below_ticks": (0, 2**50),
    "min_spread_ticks": (1, 2**50),
}


def checked(name: str, value: Any) -> Any:
    """Return a parameter as a Python number, or raise an error that names its rule."""
    if name in _WHOLE:
        low, high = _WHOLE[name]
        if int(value) != value:
            raise ValueError(f"{name} must be a whole number: {name}={value}")
        if not low <= value <= high:
            raise range_error(name, value, low, high)
        return int(value)
    least, allowed = _RULES[name]
    number = float(value)
    if name == "inventory_limit" and number == inf:
        return number
    if not isfinite(number) or number < least or (number == least and not allowed):
        rule = "finite" if least == -inf else "finite and not negative" if allowed else "positive and finite"
        raise ValueError(f"{name} must be {rule}: {name}={value}")
    return number


def resolved(model: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return all parameters of a model, checked."""
    if model not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}: model={model!r}")
    known: dict[str, Any] = {**MODELS[model], **_COMMON}
    for name in given:
        if name not in known:
            raise TypeError(f"unknown parameter of {model}: {name}; known: {', '.join(known)}")
    values: dict[str, Any] = {}
    for name, default in known.items():
        value = given.get(name, default)
        if value is ...:
            raise TypeError(f"{model} needs a parameter: {name}")
        values[name] = None if value is None and default is None else checked(name, value)
    if values["low_below_ticks"] % values["increment_ticks"] or values["low_below_ticks"] % values["low_increment_ticks"]:
        raise ValueError(
            "low_below_ticks must be a multiple of both increments: "
            f"low_below_ticks={values['low_below_ticks']}, increment_ticks={values['increment_ticks']}, "
            f"low_increment_ticks={values['low_increment_ticks']}"
        )
    return values


def finite(what: str, value: float, parameters: dict[str, Any]) -> float:
    """Return a constant, or raise an error with its parameters where it overflowed."""
    if not isfinite(value):
        given = ", ".join(f"{name}={parameters[name]}" for name in ("gamma", "xi", "sigma", "A", "k") if name in parameters)
        raise ValueError(f"{what} must be finite: {given}")
    return value


def fill_terms(xi: float, k: float) -> tuple[float, float]:
    """Return (1/xi) ln(1 + xi/k) and ln of (1 + xi/k)^(1 + k/xi); the limits 1/k and 1 for xi -> 0."""
    u = xi / k
    if u < 1e-8:
        return (1.0 - 0.5 * u) / k, 1.0 + 0.5 * u
    return log1p(u) / xi, (1.0 + 1.0 / u) * log1p(u)


def solve_depths(
    gamma: float,
    sigma: float,
    A: float,
    k: float,
    max_inventory: int,
    horizon: float | None = None,
    *,
    rows: int | None = None,
    xi: float | None = None,
    order_size: float = 1.0,
    drift: float = 0.0,
    adverse_selection: float = 0.0,
    terminal_penalty: float = 0.0,
) -> Doubles:
    """Solve for the optimal depths by inventory: v = exp(-M t) z, M tridiagonal.

    Parameters
    ----------
    gamma, sigma, A, k : float
        Risk aversion (1/price), volatility (price/sqrt(time)), fills per time at depth 0, decay of fills (1/price).
    max_inventory : int
        Q, in orders: no bid at +Q, no ask at -Q.
    horizon : float, optional
        Time left; None for the limit of a long horizon.
    rows : int, optional
        Return that many equidistant times left, 0 to `horizon`, instead of the last alone.
    xi : float, optional
        Aversion to the risk of execution, Gueant 2017; gamma where not given, 0 for Cartea and Jaimungal's running penalty
        phi = gamma sigma^2 / 2.
    order_size : float
        D, quantity of one order.
    drift : float
        mu, price/time.
    adverse_selection : float
        Move of the price against us at a fill.
    terminal_penalty : float
        alpha of the terminal cost alpha q^2, price per quantity.

    Returns
    -------
    ndarray of float64, shape (2Q+1, 2) or (rows, 2Q+1, 2)
        Bid and ask depth from the mid for inventories -Q..Q; infinite where there is no quote.

    Raises
    ------
    ValueError
        If a parameter is not valid, or the solution leaves the range of doubles.

    Notes
    -----
    exp(-M t) overflows (its smallest eigenvalue is negative) and its eigenvectors lose the small entries. Here c - M, with
    c the largest diagonal entry, has no negative entry, so that its exponential by scaling, Taylor series and squaring
    has no cancellation: every entry keeps its relative accuracy. Common factors drop out of the depths.
    """
    parameters = {"gamma": gamma, "sigma": sigma, "A": A, "k": k, "xi": gamma if xi is None else xi}
    for name, value in (*parameters.items(), ("order_size", order_size), ("drift", drift)):
        checked(name, value)
    for name, value in (("adverse_selection", adverse_selection), ("terminal_penalty", terminal_penalty)):
        checked(name, value)
    checked("max_inventory", max_inventory)
    if horizon is None and rows is not None:
        raise ValueError(f"rows need a horizon: rows={rows}")
    # In units of orders: money per order is D times depth, so k/D and sigma D take the places of k and sigma.
    k_n, sigma_n = k / order_size, sigma * order_size
    base, exponent = fill_terms(parameters["xi"], k_n)
    base = finite("the half spread", base / order_size, parameters) + adverse_selection / 2
    eta = finite("eta", A * np.exp(-exponent - k * adverse_selection / 2), parameters)
    q = np.arange(-max_inventory, max_inventory + 1, dtype=np.float64)
    diagonal = 0.5 * k_n * gamma * sigma_n**2 * q**2 - k * drift * q
    matrix = np.diag(diagonal.max() - diagonal) + eta * (np.eye(len(q), k=1) + np.eye(len(q), k=-1))
    if not np.isfinite(matrix).all():
        finite("the growth matrix", inf, parameters)
    terminal = np.exp(-k * order_size * terminal_penalty * q**2)
    if horizon is None:
        tables = [_long_run(matrix)]
    else:
        horizon = checked("horizon", horizon)
        count = 2 if rows is None else checked("rows", rows)
        step = _exponential(matrix * (horizon / (count - 1)))
        v = terminal
        tables = [] if rows is None else [v]
        for _ in range(count - 1):
            v = step @ v
            v = v / v.max()
            if rows is not None:
                tables.append(v)
        if rows is None:
            tables = [v]
    depths = np.full((len(tables), len(q), 2), inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.array(tables))
        depths[:, :-1, 0] = (logs[:, :-1] - logs[:, 1:]) / k + base
        depths[:, 1:, 1] = (logs[:, 1:] - logs[:, :-1]) / k + base
    if not np.isfinite(depths[:, :-1, 0]).all():
        raise ValueError(f"max_inventory must keep v within the range of doubles: max_inventory={max_inventory}")
    return depths if rows is not None else depths[0]


def _exponential(matrix: Doubles) -> Doubles:
    # exp of a matrix without negative entries, up to a positive factor; no subtraction anywhere.
    norm = float(np.abs(matrix).sum(axis=1).max())
    squarings = max(0, int(np.ceil(np.log2(norm))) + 1) if norm > 0 else 0
    scaled = matrix / 2.0**squarings
    result = term = np.eye(len(matrix))
    for i in range(1, 24):
        term = term @ scaled / i
        result = result + term
    for _ in range(squarings):
        result = result @ result
        result = result / result.max()
    return result


def _long_run(matrix: Doubles) -> Doubles:
    # The dominant eigenvector of a matrix without negative entries, by squaring.
    power = matrix / matrix.max() + np.eye(len(matrix)) * 1e-3
    base = power
    new: Doubles
    v = power.sum(axis=1)
    for _ in range(64):
        power = power @ power
        power = power / power.max()
        new = power.sum(axis=1)
        new = new / new.max()
        if np.abs(new / v - 1.0).max() < 1e-14:
            break
        v = new
    for _ in range(8):
        v = base @ new
        new = v / v.max()
    return new
