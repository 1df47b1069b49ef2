"""The filters of a network as pictures, and in numbers (paper, section 4.1 and figure 6; CS231n, lecture 9)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zfcore.data.gallery import Gallery
from zfcore.errors import ZfcoreError, printable
from zfcore.experiments import report
from zfcore.experiments.examined import Examined, Looking, Responses, examined, gallery_of
from zfcore.experiments.filter_facts import DEFINITIONS, numbers_of, remarks_on, rows_of, sentence
from zfcore.experiments.first_layer import DOMINATING, convolutions, first_layer, rectified, second_convolution
from zfcore.experiments.progress import say
from zfcore.experiments.results import Outcome, Results
from zfcore.experiments.subject import Subject
from zfcore.figures.features import features_picture
from zfcore.figures.filters import filters_picture
from zfcore.figures.planes import planes_picture
from zfcore.figures.spectra import Curves, Spectra, aliasing_maps, strengths_and_spectra
from zfcore.layers import Conv2d
from zfcore.rules import resolve

MOST_PLANES = 64
"""Of a filter, and filters: a page of 64 x 64 planes is as large as can be looked at."""


def run(
    subject: Subject,
    out: str | Path,
    *,
    layers: Sequence[str] | None = None,
    planes: int = 32,
    images: str | Path | Gallery | None = None,
    second: str | None = None,
    looking: Looking | None = None,
) -> Outcome:
    """Measure, draw and write.

    Parameters
    ----------
    subject : Subject
    out : path
        Folder for the results; it is made.
    layers : sequence of str, optional
        Deeper convolutions to show as planes; the second of more than a pixel, if there is one. Empty: none.
    planes : int
        Of a deeper layer at most so many filters, and of each so many planes.
    images : path or Gallery, optional
        Images to find dead maps with, and the projections in which aliasing shows.
    second : str, optional
        Layer of these projections; the rectifier of the second convolution.
    looking : Looking, optional
        How images are looked at.

    Raises
    ------
    ZfcoreError
        If there is no such layer, the first layer's filters are no pictures, an option or the images are wrong, or nothing can be written.
    """
    out, looking = Path(out), looking or Looking()
    looking.check()
    if not 1 <= planes <= MOST_PLANES:
        raise ZfcoreError(f"planes: got {planes}, needed 1 to {MOST_PLANES}")
    first = first_layer(subject)  # refuses before there is any work
    deeper = _deeper(subject, layers)
    if second is not None:
        subject.net.layer(second)
        if images is None:
            raise ZfcoreError(f"second layer {second!r}: of no use without images; give --images")
        if second == rectified(subject.net, first.name):
            raise ZfcoreError(f"second layer {second!r}: is the first convolution's rectifier; needed a layer above it")
    gallery = None if images is None else gallery_of(images, out)
    results = Results(out, "filters")
    if gallery is not None:
        report.say_preprocessing(subject.choice)
    found = examined(subject, gallery, looking, second, out / "filters-search.npz")
    title = f"{subject.name}, {found.first.name}: {found.first.described}"
    remarks = remarks_of(found)
    for name, own in (("filters", False), ("filters-own-scales", True)):
        scales = "each on its own scale" if own else "one scale for all"
        results.picture(name, filters_picture(found.first.weight, printable(f"{title}, {scales}"), own_scales=own, remarks=remarks))
    for layer, stem in report.file_names(deeper).items():
        weight = subject.net.to_numpy(subject.net.layers[layer].arrays["weight"])
        results.picture(f"planes-{stem}", planes_picture(weight, printable(f"{subject.name}, {layer}: filters as grey planes"), planes))
        if max(weight.shape[:2]) > planes:
            shown = [f"{min(planes, size)} of {size}" for size in weight.shape[:2]]
            say(f"{layer}: {shown[0]} filters are shown, {shown[1]} planes of each")
    results.plot("spectrum", strengths_and_spectra({subject.name: curves_of(found)}, DOMINATING), title)
    if found.responses is not None:
        _show_responses(results, found, found.responses, looking)
    measures = found.measures
    results.arrays("filters", rms=measures.rms, dead=measures.dead, dominating=measures.dominating, bands=measures.bands,
                   peaks=measures.peaks, beyond=measures.beyond, frequencies=measures.frequencies, density=measures.density)  # fmt: skip
    configuration = {
        "layers": deeper,
        "planes": planes,
        "images": None if gallery is None else gallery.source.described,
        "second": None if found.responses is None else found.responses.layer,
        "looking": looking.described,
        "definitions": DEFINITIONS,
    }
    table = "\n".join(report.columns([("measure", subject.name), *rows_of(found)]))
    remarked = remarks_on(subject, projected=found.responses is not None and found.responses.known is not None)
    return results.conclude(subject, configuration, numbers_of(found), sentence(found), table, remarked)


def _deeper(subject: Subject, layers: Sequence[str] | None) -> list[str]:
    if layers is None:
        second = second_convolution(subject.net)
        return [] if second is None else [second]
    for name in layers:
        if not isinstance(subject.net.layer(name), Conv2d):
            known = ", ".join(convolutions(subject.net)) or "none"
            raise ZfcoreError(f"layer {name!r}: is no convolution, so has no planes to show; convolutions are {known}")
    return list(dict.fromkeys(layers))


def remarks_of(found: Examined) -> list[str]:
    """For each filter what it is, besides a number."""
    measures = found.measures
    kinds = ((measures.not_finite, "not finite"), (measures.dead, "dead"), (measures.dominating, "dominates"))
    return [next((words for which, words in kinds if which[number]), "") for number in range(len(measures.rms))]


def curves_of(found: Examined) -> Curves:
    """What is drawn of the measures."""
    measures = found.measures
    rms, limit = measures.rms / measures.median, measures.limit / measures.median
    return Curves(rms, limit, measures.frequencies, measures.density[measures.living], max(found.first.stride))


def spectra_of(found: Examined) -> Spectra | None:
    """What is drawn of aliasing, where it was measured."""
    alias = None if found.responses is None else found.responses.aliasing
    return None if alias is None else Spectra(alias.spectra, found.first.stride, (alias.projections, alias.patches))


def _show_responses(results: Results, found: Examined, seen: Responses, looking: Looking) -> None:
    if seen.known is None or seen.projected is None or seen.views is None:
        return
    rule = resolve(looking.rule).rectifier
    title = printable(f"{found.subject.name}, {seen.layer}: {rule} projections, {seen.views.described}")
    values = np.where(seen.known.active, seen.known.values, 0)
    results.picture("projections", features_picture(seen.projected.projections, seen.projected.patches, values, seen.known.maps, title))
    spectra = spectra_of(found)
    if spectra is not None:
        words = f"{found.subject.name}, {seen.layer}: mean spectra; rings: multiples of the first layer's sampling frequency"
        results.plot("aliasing", aliasing_maps({found.subject.name: spectra}), words)
