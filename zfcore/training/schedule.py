"""The learning rate over a run."""

from __future__ import annotations

from collections.abc import Sequence

from zfcore.training.recipe import Recipe


def rate(recipe: Recipe, step: int, steps: int, errors: Sequence[float]) -> float:
    """Learning rate of a step.

    Parameters
    ----------
    recipe : Recipe
    step, steps : int
        Steps taken before, and those of the whole run.
    errors : sequence of float
        Validation errors of the epochs behind it.

    Examples
    --------
    >>> recipe = Recipe(rate=0.5, schedule="plateau", factor=0.1, patience=2)
    >>> [rate(recipe, 0, 1, errors) for errors in ([], [0.5, 0.6], [0.5, 0.6, 0.5])]
    [0.5, 0.5, 0.05]
    """
    if recipe.schedule == "linear":
        return recipe.rate * (1 - step / steps)
    return recipe.rate * recipe.factor ** plateaus(errors, recipe.patience) if recipe.schedule == "plateau" else recipe.rate


def plateaus(errors: Sequence[float], patience: int) -> int:
    """How often, so far, `patience` epochs in a row brought no new lowest error."""
    lowest, since, count = float("inf"), 0, 0
    for error in errors:
        lowest, since = (error, 0) if error < lowest else (lowest, since + 1)
        if since == patience:
            count, since = count + 1, 0
    return count
