"""Training: the paper's recipe, its steps, its loop."""

from zfcore.training.loop import Epoch, error_rate, train
from zfcore.training.recipe import Recipe

__all__ = ["Epoch", "Recipe", "error_rate", "train"]
