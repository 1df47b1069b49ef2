"""The laws that kernels and networks are held against, as functions for anyone's tests.

`dot_test` for adjoints, `vjp_test` for derivatives, `parity_test` for two answers to one question, `rounding_bound` for how far
apart floating-point sums may lie. Each raises AssertionError with the worst element; none of them passes a NaN that the other side
has not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["ROUNDINGS", "dot_test", "parity_test", "rounding_bound", "vjp_test"]

#: Tier 3, the one written table: how many roundings of its dtype, relative to the largest element of the exact result, a computation
#: may be off where no sum of products bounds it. exp, log and pow of the platforms are good to 1-2 units in the last place; the rest
#: is the sums before and behind them, over the few elements that the batteries draw.
ROUNDINGS = {
    "local_response_norm": 32,
    "local_response_norm_vjp": 64,
    "softmax": 64,
    "softmax_vjp": 128,
    "log_softmax": 64,
    "log_softmax_vjp": 128,
    "cross_entropy": 64,
    "cross_entropy_vjp": 128,
    "network": 4096,
}


def rounding_bound(terms: int, magnitude: np.ndarray, dtype: type) -> np.ndarray:
    """How far a sum of products can lie from the exact one, element by element.

    ``gamma(terms + 1) * magnitude`` with ``gamma(n) = n*u / (1 - n*u)``, u the unit roundoff (Higham, Accuracy and Stability of
    Numerical Algorithms, section 3.1), whatever the order of summation.

    Parameters
    ----------
    terms : int
        Number of products in one sum.
    magnitude : array
        The same sums over absolute values, any float type.
    dtype : numpy float type
        In which the sum under test was computed.

    Examples
    --------
    >>> float(rounding_bound(1, np.ones(()), np.float64)) < 2.3e-16
    True
    """
    u = np.finfo(dtype).eps / 2
    n = terms + 1
    return n * u / (1 - n * u) * np.asarray(magnitude)


def parity_test(got: np.ndarray, ref: np.ndarray, bound: np.ndarray | float = 0.0, name: str = "result") -> None:
    """Two arrays agree: same shape, NaN at the same places, and nowhere further apart than `bound` (0: equal).

    Raises
    ------
    AssertionError
        Naming the worst element.
    """
    got, ref = np.asarray(got), np.asarray(ref)
    assert got.shape == ref.shape, f"{name}: got shape {got.shape}, reference {ref.shape}"
    with np.errstate(invalid="ignore"):
        distance = np.where(got == ref, 0, np.abs(got.astype(np.longdouble) - ref.astype(np.longdouble)))
    distance = np.where(np.isnan(got) & np.isnan(ref), 0, distance)
    wrong = ~(distance <= bound)
    if wrong.any():
        excess = np.subtract(np.where(np.isnan(distance), np.inf, distance), bound)
        worst = np.unravel_index(np.where(wrong, excess, -1).argmax(), wrong.shape)
        allowed = np.broadcast_to(bound, got.shape)[worst]
        raise AssertionError(
            f"{name}: {wrong.sum()} of {got.size} elements wrong; worst at {tuple(map(int, worst))}: got {got[worst]!r}, "
            f"reference {ref[worst]!r}, allowed distance {float(allowed):.3g}"
        )


def dot_test(
    forward: Callable[[np.ndarray], np.ndarray],
    adjoint: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    bound: float = 0.0,
) -> None:
    """``<forward(x), y> == <x, adjoint(y)>``: exactly for integers held in floats, else within `bound`.

    Raises
    ------
    AssertionError
        With both sides.

    Examples
    --------
    >>> a = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> dot_test(lambda x: a @ x, lambda y: a.T @ y, np.array([1.0, -1.0]), np.array([2.0, 5.0]))
    """
    left = (forward(x).astype(np.longdouble) * y).sum()
    right = (x.astype(np.longdouble) * adjoint(y)).sum()
    assert abs(left - right) <= bound, f"<Ax, y> = {left!r}, <x, A'y> = {right!r}: not each other's adjoints"


def vjp_test(
    forward: Callable[[np.ndarray], np.ndarray],
    vjp: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    gy: np.ndarray,
    direction: np.ndarray,
    step: float,
) -> None:
    """The derivative of ``<gy, forward>`` along a direction is ``<vjp(gy), direction>``.

    Central differences of two steps; what they differ by bounds their truncation error, and the sizes of the terms bound their
    rounding error, so that no tolerance has to be chosen.

    Parameters
    ----------
    forward, vjp : callable
        x -> y, gy -> gx.
    x, gy, direction : array, float64
        Point, cotangent, direction of x's shape.
    step : float
        Of the wider difference; no kink may lie within ``step * direction`` of x.

    Raises
    ------
    AssertionError
        With both values and what was allowed.
    """

    def difference(h: float) -> tuple[float, float]:
        ahead, behind = forward(x + h * direction), forward(x - h * direction)
        size = np.abs(gy * ahead).sum() + np.abs(gy * behind).sum()
        return float((gy * (ahead - behind)).sum() / (2 * h)), float(size / (2 * h))

    (wide, _), (narrow, size) = difference(step), difference(step / 2)
    slope = float((vjp(gy) * direction).sum())
    roundings = 64 * np.finfo(np.float64).eps  # of the forward pass itself, to either side
    allowed = abs(wide - narrow) + roundings * (size + np.abs(vjp(gy) * direction).sum())
    assert abs(slope - narrow) <= allowed, f"slope {slope!r}, differences {narrow!r}, allowed distance {allowed:.3g}"
