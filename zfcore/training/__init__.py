"""Training: the paper's recipe, its batches, its steps, its loop."""

from zfcore.training.batches import Batches
from zfcore.training.frames import crops_of, gathered
from zfcore.training.loop import Epoch, State, errors, train
from zfcore.training.recipe import RECIPES, Recipe

__all__ = ["RECIPES", "Batches", "Epoch", "Recipe", "State", "crops_of", "errors", "gathered", "train"]
