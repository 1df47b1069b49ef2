"""Loss and errors over the epochs of a run."""

from __future__ import annotations

from collections.abc import Sequence

from zfcore.figures.plots import new_figure, png_of
from zfcore.training.loop import Epoch

TRAINING, VALIDATION = "#0072b2", "#d55e00"


def curves_png(history: Sequence[Epoch], title: str) -> bytes:
    """The curves as a PNG: loss with the learning rate's changes, and training and validation error in percent."""
    figure = new_figure(10, 4.2)
    losses, errors = figure.subplots(1, 2)
    numbers = [epoch.number for epoch in history]
    marks = {"marker": "o", "markersize": 3}
    losses.plot(numbers, [epoch.loss for epoch in history], color=TRAINING, label="training, with dropout", **marks)
    losses.set(ylabel="cross-entropy", title="loss", ylim=(0, None))
    if len({epoch.rate for epoch in history}) > 1:
        rates = losses.twinx()
        rates.step(numbers, [epoch.rate for epoch in history], where="mid", color="#999999", linewidth=1)
        rates.set(ylabel="learning rate (grey)", ylim=(0, None))
    errors.plot(numbers, [100 * epoch.training_error for epoch in history], color=TRAINING, label="training, while learning", **marks)
    if history and history[0].validation_error is not None:
        validation = [100 * (epoch.validation_error or 0) for epoch in history]
        errors.plot(numbers, validation, color=VALIDATION, label="validation, top-1", **marks)
    if history and history[0].validation_top5 is not None:
        top5 = [100 * (epoch.validation_top5 or 0) for epoch in history]
        errors.plot(numbers, top5, color=VALIDATION, linestyle=":", label="validation, top-5")
    errors.set(ylabel="error in %", title="error", ylim=(0, None))
    figure.legend(*errors.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    for axes in (losses, errors):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    return png_of(figure, title)
