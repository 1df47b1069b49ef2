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
from PIL import Image

import zfcore
from zfcore.data.choice import choose
from zfcore.data.labelled import Labelled
from zfcore.data.preprocessing import Preprocessing
from zfcore.data.scenes import CLASSES, SIZE, SceneSet, make_scenes
from zfcore.data.sources import ArraySource
from zfcore.experiments import features, report
from zfcore.experiments.progress import bar, say
from zfcore.figures.filters import filters_picture
from zfcore.figures.grid import mosaic
from zfcore.formats import save
from zfcore.network import Network
from zfcore.training import RECIPES, Batches, Epoch, State, crops_of, errors, gathered, train
from zfcore.zoo import build

TRAINING, HELD_OUT = 3000, 1000
ARCHITECTURE = "zfnet-small"
#: The paper's 70 epochs would take longer than three minutes; the scenes are drawn to fill their pixels, and are not cropped.
RECIPE = replace(RECIPES["small"], epochs=10, frame=SIZE, crops="centre")
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")
MAPS, TOP = 16, 9


@dataclass(frozen=True)
class Outcome:
    """What a demo came to: errors as shares of images, times in seconds."""

    held_out_error: float
    epochs: list[Epoch]
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
    say(f"zfcore {zfcore.__version__} demo: {TRAINING} + {HELD_OUT} scenes, {ARCHITECTURE}, seed {seed}")
    recipe = replace(RECIPE, seed=seed)
    for line in recipe.describe():
        say(f"  {line}")
    scenes = drawn_scenes(seed)
    learnt, held_out = np.split(np.arange(TRAINING + HELD_OUT), [TRAINING])
    images = Labelled(ArraySource(scenes.images), scenes.labels, CLASSES)
    found = gathered(images, Preprocessing(size=SIZE, crop=(SIZE, SIZE)), np.arange(len(images)), learnt)
    batches = Batches(found.frames, crops_of(found.frames, found.mean, recipe.pixel_scale, (SIZE, SIZE)), learnt, recipe)
    net = build(ARCHITECTURE, seed, recipe.init, CLASSES, dropout=recipe.dropout)
    net.preprocessing = batches.crops.preprocessing
    say(f"{net!r}; {net.macs / 1e6:.0f} million multiply-adds an image")
    start = perf_counter()
    epochs = trained(net, batches)
    seconds = perf_counter() - start
    error, _ = errors(net, batches.frames, batches.crops, held_out)
    say(f"trained in {seconds:.0f} s; {100 * (1 - error):.1f} % of {HELD_OUT} held-out scenes named rightly")
    for name in ("index.html", "demo.json"):  # an earlier run's; written last, so that with them all is there
        (out / name).unlink(missing_ok=True)
    save(net, out / "zfnet-small.safetensors")
    first = net.to_numpy(net.layers["conv1"].arrays["weight"])
    report.write_picture(out / "filters.png", filters_picture(first, "conv1: first-layer filters"))
    report.write_picture(out / "scenes.png", contact_sheet(scenes.images[held_out]))
    names = [f"{CLASSES[label]} {index}" for index, label in enumerate(scenes.labels[held_out])]
    source = ArraySource(scenes.images[held_out], names, f"{HELD_OUT} held-out scenes, seed {seed}")
    pages = features.run(net, source, LAYERS, out / "features", choice=choose(net), random=MAPS, seed=seed, top=TOP, batch=64, restart=True)
    outcome = Outcome(error, epochs, seconds, perf_counter() - began)
    facts = {"seed": seed, "architecture": ARCHITECTURE, "backend": net.backend, "recipe": recipe.to_dict()}
    report.write_json(out / "demo.json", {"zfcore": zfcore.__version__, **facts, **asdict(outcome)})
    report.write_whole(out / "index.html", index_page(net, pages, outcome, facts, out).encode())
    say(f"done in {outcome.total_seconds:.0f} s; open {out / 'index.html'}")
    return outcome


def drawn_scenes(seed: int) -> SceneSet:
    """The training scenes and, behind them in the same sequence, the held-out ones."""
    with bar(TRAINING + HELD_OUT, "drawing scenes", "image") as progress:
        return make_scenes(TRAINING + HELD_OUT, seed, progress=lambda done, count: progress.update())


def trained(net: Network, batches: Batches) -> list[Epoch]:
    """Train the network in place; what each epoch came to."""
    say("training")
    state, epochs = State(), batches.recipe.epochs
    with bar(epochs * batches.per_epoch, "training", "step") as progress:
        try:
            for epoch in train(net, batches, np.array([], np.int64), state):
                progress.update()
                if epoch is not None:
                    say(f"epoch {epoch.number} of {epochs}, loss {epoch.loss:.2f}, training error {epoch.training_error:.1%}")
        except KeyboardInterrupt:
            raise KeyboardInterrupt("stopped while training; nothing was written, and the demo begins anew") from None
    return state.history


def contact_sheet(images: np.ndarray, columns: int = 10, rows: int = 5) -> Image.Image:
    """The first of some images (N, H, W, 3), as a picture."""
    return Image.fromarray(mosaic(list(images[: columns * rows]), columns))


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
    row = "<tr><td>{number}</td><td>{loss:.3f}</td><td>{training_error:.1%}</td></tr>"
    return PAGE.format(
        training=TRAINING,
        held_out=HELD_OUT,
        accuracy=100 * (1 - outcome.held_out_error),
        caveat=report.CAVEAT,
        classes=", ".join(CLASSES),
        figures=figures,
        epochs="".join(row.format(**asdict(epoch)) for epoch in outcome.epochs),
        seconds=outcome.training_seconds,
        total=outcome.total_seconds,
        choices=html.escape("\n".join(f"{name}: {value}" for name, value in facts.items())),
    )
