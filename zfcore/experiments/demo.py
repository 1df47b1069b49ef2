"""The whole story in one command: draw a data set, train a small ZFNet on it, and look inside.

Needs no file and no network. Everything comes from one seed.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import zfcore
from zfcore.data.choice import choose
from zfcore.data.preprocessing import Preprocessing
from zfcore.data.scenes import CLASSES, SIZE, SceneSet, make_scenes
from zfcore.data.sources import ArraySource
from zfcore.experiments import features, report
from zfcore.experiments.progress import bar, say
from zfcore.figures.filters import filters_picture
from zfcore.figures.grid import mosaic
from zfcore.formats import save
from zfcore.network import Network
from zfcore.training import Recipe, error_rate, train
from zfcore.zoo import build

TRAINING, HELD_OUT = 3000, 1000
ARCHITECTURE, INIT = "zfnet-small", "mixed"
#: Choices for a network this small: the paper's 128 images a step and rate 0.01 would need more epochs than three minutes hold, and
#: its filters are clean after 70 epochs where these need the stronger weight decay.
RECIPE = Recipe(epochs=10, batch=64, rate=0.03, weight_decay=3e-3)
#: Pixels, their mean image subtracted, are divided by this, which suits weights drawn after He; the paper does not divide.
PIXEL_SCALE = 64.0
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")
MAPS, TOP = 16, 9


@dataclass(frozen=True)
class Outcome:
    """What a demo came to: errors as shares of images, times in seconds."""

    held_out_error: float
    epochs: list[dict[str, float]]
    training_seconds: float
    total_seconds: float


def run(out: Path, seed: int = 0) -> Outcome:
    """Draw, train, project, write.

    Parameters
    ----------
    out : Path
        Folder for the results; it is made.
    seed : int
        Of the scenes, the weights, the order of training and the choice of maps.

    Raises
    ------
    ZfcoreError
        If the folder cannot be made or a file cannot be written.
    """
    began = perf_counter()
    report.make_folder(out)
    say(f"zfcore {zfcore.__version__} demo: {TRAINING} + {HELD_OUT} scenes, {ARCHITECTURE}, init {INIT}, seed {seed}")
    recipe = replace(RECIPE, seed=seed)
    say(f"recipe: {recipe.describe()}")
    training, held_out = drawn_scenes(seed)
    net = build(ARCHITECTURE, seed, INIT, CLASSES)
    mean = training.images.mean(axis=0).transpose(2, 0, 1)
    net.preprocessing = Preprocessing(size=(SIZE, SIZE), mean=mean, scale=np.full(3, 1 / PIXEL_SCALE))
    say(f"{net!r}; {net.macs / 1e6:.0f} million multiply-adds an image")
    start = perf_counter()
    epochs = trained(net, training, recipe)
    seconds = perf_counter() - start
    error = error_rate(net, held_out.images, held_out.labels)
    say(f"trained in {seconds:.0f} s; {100 * (1 - error):.1f} % of {HELD_OUT} held-out scenes named rightly")
    for name in ("index.html", "demo.json"):  # an earlier run's; written last, so that with them all is there
        (out / name).unlink(missing_ok=True)
    save(net, out / "zfnet-small.safetensors")
    report.write_picture(out / "filters.png", filters_picture(net.layers["conv1"].arrays["weight"], "conv1: first-layer filters"))
    report.write_picture(out / "scenes.png", contact_sheet(held_out))
    names = [f"{CLASSES[label]} {index}" for index, label in enumerate(held_out.labels)]
    source = ArraySource(held_out.images, names, f"{HELD_OUT} held-out scenes, seed {seed}")
    pages = features.run(net, source, LAYERS, out / "features", choice=choose(net), random=MAPS, seed=seed, top=TOP, batch=64, restart=True)
    outcome = Outcome(error, epochs, seconds, perf_counter() - began)
    facts = {"seed": seed, "architecture": ARCHITECTURE, "init": INIT, "pixel_scale": PIXEL_SCALE, "recipe": asdict(recipe)}
    report.write_json(out / "demo.json", {"zfcore": zfcore.__version__, **facts, **asdict(outcome)})
    report.write_whole(out / "index.html", index_page(net, pages, outcome, facts, out).encode())
    say(f"done in {outcome.total_seconds:.0f} s; open {out / 'index.html'}")
    return outcome


def drawn_scenes(seed: int) -> tuple[SceneSet, SceneSet]:
    """The training scenes and, behind them in the same sequence, the held-out ones."""
    with bar(TRAINING + HELD_OUT, "drawing scenes", "image") as progress:

        def drawn(done: int, count: int) -> None:
            progress.update()

        return make_scenes(TRAINING, seed, progress=drawn), make_scenes(HELD_OUT, seed, start=TRAINING, progress=drawn)


def trained(net: Network, scenes: SceneSet, recipe: Recipe) -> list[dict[str, float]]:
    """Train the network in place; what each epoch came to."""
    say("training")
    batches = TRAINING // recipe.batch
    with bar(recipe.epochs * batches, "training", "step") as progress:

        def stepped(step: int, steps: int, loss: float) -> None:
            progress.update()
            progress.set_postfix(loss=f"{loss:.2f}")
            if progress.disable and step % batches == 0:
                say(f"epoch {step // batches} of {recipe.epochs}, loss {loss:.2f}")

        try:
            return [asdict(epoch) for epoch in train(net, scenes.images, scenes.labels, recipe, stepped)]
        except KeyboardInterrupt:
            raise KeyboardInterrupt("stopped while training; nothing was written, and the demo begins anew") from None


def contact_sheet(scenes: SceneSet, columns: int = 10, rows: int = 5) -> Any:
    """The first scenes of a set, as a picture."""
    from PIL import Image

    return Image.fromarray(mosaic(list(scenes.images[: columns * rows]), columns))


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>zfcore demo</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
img {{ max-width: 100%; border: 1px solid #ddd }} code, pre {{ background: #f4f4f4; padding: .1rem .3rem }}
figure {{ margin: 2rem 0 }} figcaption {{ color: #555 }} td, th {{ padding: .1rem .8rem .1rem 0; text-align: right }}
</style></head><body>
<h1>Inside a small ZFNet</h1>
<p>A network of five convolutions was trained on {training} drawn scenes; it names {accuracy:.1f} % of {held_out} others rightly.
Below, for maps of each layer, the nine scenes that excite the map most: each activation brought down to pixels by the deconvnet
(Zeiler &amp; Fergus 2014, section 2.1), beside the patch of the scene that caused it. Look first at how the nine agree, then at what
changes from layer to layer: edges and colours low, textures, then parts and whole objects. (The nine projections of a map of conv1
are alike: nothing lies between it and the pixels, so that each is the map's filter.)</p>
<p><em>To keep in mind: {caveat}.</em></p>
<figure><img src="scenes.png" alt="scenes"><figcaption>What it sees: held-out scenes of the classes {classes}.</figcaption></figure>
<figure><img src="filters.png" alt="filters"><figcaption>The filters of conv1.</figcaption></figure>
{figures}
<h2>Training</h2>
<table><tr><th>epoch</th><th>loss</th><th>training error</th></tr>{epochs}</table>
<p>{seconds:.0f} s of training, {total:.0f} s in all. The trained network is <a href="zfnet-small.safetensors">zfnet-small.safetensors</a>:
<code>zfcore info zfnet-small.safetensors</code> lists its layers, and <code>zfcore features</code> takes it with images of your own.</p>
<h2>Every choice</h2>
<pre>{choices}</pre>
</body></html>
"""


def index_page(net: Network, pages: Sequence[features.Page], outcome: Outcome, facts: dict[str, Any], out: Path) -> str:
    """The page that shows it all."""
    figures = "".join(
        f'<figure><img src="{html.escape(page.picture.relative_to(out).as_posix())}" alt="{html.escape(page.layer)}">'
        f"<figcaption>{html.escape(page.layer)}: {MAPS} of its {net.shapes[page.layer][0]} maps.</figcaption></figure>\n"
        for page in pages
    )
    row = "<tr><td>{number}</td><td>{loss:.3f}</td><td>{error:.1%}</td></tr>"
    return PAGE.format(
        training=TRAINING,
        held_out=HELD_OUT,
        accuracy=100 * (1 - outcome.held_out_error),
        caveat=report.CAVEAT,
        classes=", ".join(CLASSES),
        figures=figures,
        epochs="".join(row.format(**epoch) for epoch in outcome.epochs),
        seconds=outcome.training_seconds,
        total=outcome.total_seconds,
        choices=html.escape("\n".join(f"{name}: {value}" for name, value in facts.items())),
    )
