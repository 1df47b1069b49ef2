"""Figure 6 of the paper for any two networks: first-layer filters side by side, second-layer projections, and the measures of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from zfcore.data.gallery import Gallery
from zfcore.experiments import report
from zfcore.experiments.examined import Examined, Looking, examined, gallery_of
from zfcore.experiments.filter_facts import DEFINITIONS, numbers_of, percent, remarks_on, rows_of
from zfcore.experiments.filters import curves_of, spectra_of
from zfcore.experiments.first_layer import DOMINATING, even_shares, first_layer
from zfcore.experiments.progress import say
from zfcore.experiments.results import Outcome, Results
from zfcore.experiments.subject import Subject
from zfcore.figures.compare import Side, comparison_picture
from zfcore.figures.spectra import aliasing_maps, strengths_and_spectra

LETTERS = ("A", "B")


def run(
    a: Subject,
    b: Subject,
    out: str | Path,
    *,
    images: str | Path | Gallery | None = None,
    looking: Looking | None = None,
) -> Outcome:
    """Measure both, draw and write.

    Parameters
    ----------
    a, b : Subject
        They may differ in everything.
    out : path
        Folder for the results; it is made.
    images : path or Gallery, optional
        Images to find dead maps with, and the projections in which aliasing shows.
    looking : Looking, optional
        How images are looked at.

    Raises
    ------
    ZfcoreError
        If a first layer's filters are no pictures, an option or the images are wrong, or nothing can be written.
    """
    out, looking = Path(out), looking or Looking()
    looking.check()
    for subject in (a, b):
        first_layer(subject)  # refuses before there is any work
    gallery = None if images is None else gallery_of(images, out)
    results = Results(out, "compare")
    found: list[Examined] = []
    for letter, subject in zip(LETTERS, (a, b), strict=True):
        if gallery is not None:
            say(f"{letter}: {subject.given}; preprocessing: {subject.preprocessing.describe()} ({subject.choice.origin})")
        found.append(examined(subject, gallery, looking, None, out / f"compare-{letter.lower()}-search.npz"))
    names = [f"{letter}: {one.subject.name}" for letter, one in zip(LETTERS, found, strict=True)]
    title = f"{names[0]} and {names[1]}: first-layer filters" + " and second-layer projections" * (gallery is not None)
    results.picture("compare", comparison_picture([_side(name, one) for name, one in zip(names, found, strict=True)], title))
    curves = {name: curves_of(one) for name, one in zip(names, found, strict=True)}
    results.plot("spectrum", strengths_and_spectra(curves, DOMINATING), "first-layer filters: strength and spectrum")
    spectra = {name: drawn for name, one in zip(names, found, strict=True) if (drawn := spectra_of(one)) is not None}
    if spectra:
        words = "mean spectra of second-layer projections; rings: multiples of the first layer's sampling frequency"
        results.plot("aliasing", aliasing_maps(spectra), words)
    configuration = {
        "images": None if gallery is None else gallery.source.described,
        "looking": looking.described,
        "definitions": DEFINITIONS,
    }
    numbers = {letter: numbers_of(one) for letter, one in zip(LETTERS, found, strict=True)}
    projected = any(one.responses is not None and one.responses.known is not None for one in found)
    remarks = remarks_on(a, b, projected=projected)
    return results.conclude([a, b], configuration, numbers, _sentence(found), _table(names, found), remarks)


def _side(name: str, found: Examined) -> Side:
    heading, seen = f"{name}, {found.first.name}: {found.first.described}", found.responses
    if seen is None or seen.known is None or seen.projected is None:
        return Side(heading, found.first.weight, "no second layer")
    values = np.where(seen.known.active, seen.known.values, 0)
    below = f"{name}, {seen.layer}: projections, {len(values)} maps, {values.shape[1]} of each"
    return Side(heading, found.first.weight, below, seen.projected.projections, values)


def _table(names: list[str], found: list[Examined]) -> str:
    one, other = (rows_of(each) for each in found)
    rows = [(what, value, value_b) for (what, value), (_, value_b) in zip(one, other, strict=True)]
    return "\n".join(report.columns([("measure", *names), *rows]))


def _sentence(found: list[Examined]) -> str:
    """Both in one sentence for each measure, A first."""

    def both(value: Any) -> str:
        one, other = (value(each) for each in found)
        return f"{one} against {other}"

    measures = [
        f"dead by their weights {both(lambda f: percent(f.measures.dead.mean()))}",
        f"dominating {both(lambda f: percent(f.measures.dominating.mean()))}",
        f"energy in the middle third of the frequencies {both(lambda f: percent(f.measures.band_shares[1]))} "
        f"(even: {percent(even_shares()[1])})",
        f"beyond Nyquist's frequency of the stride {both(lambda f: percent(f.measures.beyond_share))}",
    ]
    words = f"First layers of {' and '.join(each.subject.name for each in found)}: {'; '.join(measures)}."
    if any(spectra_of(each) is not None for each in found):
        words += f" Aliasing, second-layer projections over their patches: {both(_index)}."
    return words


def _index(found: Examined) -> str:
    alias = None if found.responses is None else found.responses.aliasing
    return "not measured" if alias is None else f"{alias.index:.2f}"
