"""What was found of a first layer: as numbers for a record, as a column of a table, and in plain words."""

from __future__ import annotations

from typing import Any

import numpy as np

from zfcore.experiments import report
from zfcore.experiments.examined import Examined, Responses, some_images
from zfcore.experiments.first_layer import BANDS, DEAD, DOMINATING, Measures, even_shares
from zfcore.experiments.subject import Subject

MARKED = 1.25
"""An index of aliasing above it is called a pattern."""
DEFINITIONS = {
    "dead": f"RMS at most {DEAD:g} of the 75th percentile of the layer's RMS",
    "dominating": f"RMS above {DOMINATING:g} times the median RMS of the filters that are not dead",
    "spectrum": "squared 2-D Fourier transform, zero padded, summed over channels, mean not removed; each living filter counts the same",
    "bands": "thirds of the radial frequency up to 0.5 cycles per pixel; corners of the plane count as high",
    "aliasing": "geometric mean of the spectral energy within 1/8 of the sampling frequency around its multiples, zero left out, over that "
    "between 1/8 and 3/8; of projections and patches without mean, faded out by Hann's window; only units whose window lies in the image",
    "never_above_0": "no activation above 0 on any image, at the first layer's rectifier",
}
"""For records: the choices that the paper leaves open."""


def few_middle(measures: Measures) -> bool:
    """Whether the middle third is emptier than both others, for its area: what the paper saw of AlexNet."""
    density = measures.band_shares / even_shares()
    return bool(density[1] < min(density[0], density[2]))


def numbers_of(found: Examined) -> dict[str, Any]:
    """The measures, for a record."""
    measures, seen = found.measures, found.responses
    numbers: dict[str, Any] = {
        "layer": report.described_layer(found.subject.net, found.first.name),
        "filters": len(measures.rms),
        "stride": list(found.first.stride),
        "rms": measures.rms.tolist(),
        "strongest_to_median": measures.strongest_to_median,
        "dead": {"share": float(measures.dead.mean()), "filters": np.flatnonzero(measures.dead).tolist()},
        "dominating": {"share": float(measures.dominating.mean()), "filters": np.flatnonzero(measures.dominating).tolist()},
        "not_finite": np.flatnonzero(measures.not_finite).tolist(),
        "energy_in_bands": _by_band(measures.band_shares),
        "highest_in_bands": _by_band(measures.peak_shares),
        "few_middle_frequencies": few_middle(measures),
        "energy_beyond_the_strides_nyquist": measures.beyond_share,
    }
    if seen is not None:
        dead = {"share": len(seen.dead) / len(measures.rms), "maps": seen.dead.tolist()}
        numbers["images"] = {"used": seen.images, "skipped": seen.skipped, "watched_at": seen.rectifier, "never_above_0": dead}
        numbers["projections"] = None if seen.known is None else {"layer": seen.layer, "count": int(seen.known.active.sum())}
        alias = seen.aliasing
        numbers["aliasing"] = None if alias is None else {
            "projections": alias.projections,
            "patches": alias.patches,
            "index": alias.index,
            "share_of_energy": alias.share,
            "projections_within_the_image": alias.count,
        }  # fmt: skip
    return numbers


def rows_of(found: Examined) -> list[tuple[str, str]]:
    """The measures as a column of a table: what, and its value."""
    measures, seen = found.measures, found.responses
    rows = [
        ("first layer", found.first.name),
        ("filters", found.first.described),
        ("dead by their weights", _of(measures.dead)),
        ("dominating", _of(measures.dominating)),
        ("strongest / median RMS", f"{measures.strongest_to_median:.2f}" if measures.living.any() else "-"),
        *((f"energy in the {band} third", percent(share)) for band, share in zip(BANDS, measures.band_shares, strict=True)),
        *((f"spectrum highest in the {band} third", percent(share)) for band, share in zip(BANDS, measures.peak_shares, strict=True)),
        ("energy beyond the stride's Nyquist", percent(measures.beyond_share)),
    ]
    if seen is not None:
        rows.append(("never above 0 on the images", f"{len(seen.dead)} of {len(measures.rms)}"))
        rows.append(("second layer", seen.layer or "none"))
        alias = seen.aliasing
        rows.append(("aliasing: excess of its projections", "-" if alias is None else f"{alias.projections:.2f}"))
        rows.append(("  excess of their patches", "-" if alias is None else f"{alias.patches:.2f}"))
        rows.append(("  projections / patches", "-" if alias is None else f"{alias.index:.2f}"))
    return rows


def remarks_on(*subjects: Subject, projected: bool) -> list[str]:
    """What to keep in mind beside the measures."""
    noise = [subject.name for subject in subjects if subject.path is None and subject.run is None]
    return [f"{name} is untrained: its filters are noise" for name in noise] + [report.CAVEAT] * projected


def sentence(found: Examined) -> str:
    """What was found, in plain words."""
    measures, seen = found.measures, found.responses
    dead, strong = (np.count_nonzero(which) for which in (measures.dead, measures.dominating))
    low, middle, high = map(percent, measures.band_shares)
    even = ", ".join(percent(share) for share in even_shares())
    words = [
        f"{found.subject.name}, {found.first.name}: of {found.first.described} {dead or 'none'} by their weights dead, {strong or 'none'} "
        "dominating."
    ]
    if measures.living.any():
        words[0] = f"{words[0][:-1]}; the strongest has {measures.strongest_to_median:.1f} times the median RMS."
        verdict = "is there" if few_middle(measures) else "is not there"
        words.append(
            f"Of their energy {low} lies in the low, {middle} in the middle and {high} in the high third of the frequencies (an even "
            f"spectrum has {even}): the gap in the middle that the paper saw in AlexNet {verdict}."
        )
    if seen is not None:
        still = f"{len(seen.dead) or 'none'} of the {len(measures.rms)} first-layer maps"
        words.append(f"On {some_images(seen.images)} {still} stayed at 0.")
        words.append(_aliasing_sentence(found, seen))
    return " ".join(words)


def _aliasing_sentence(found: Examined, seen: Responses) -> str:
    alias, stride = seen.aliasing, max(found.first.stride)
    if seen.layer is None:
        return "There is no second convolution whose projections could show aliasing."
    if alias is None:
        unseen = "no active unit's window lies within the image and is large enough to tell"
        why = "the stride is 1, which samples every pixel" if stride == 1 else unseen
        return f"Aliasing of the projections of {seen.layer} is not measured: {why}."
    return (
        f"Projections of {seen.layer} have {alias.projections:.2f} times as much energy at multiples of the sampling frequency, 1/{stride} "
        f"cycle per pixel, as around them, their patches {alias.patches:.2f} times: "
        + ("a pattern of the sampling that the images have not." if alias.index > MARKED else "the sampling left no trace to speak of.")
    )


def _by_band(shares: np.ndarray) -> dict[str, float]:
    return dict(zip(BANDS, map(float, shares), strict=True))


def _of(which: np.ndarray) -> str:
    return f"{np.count_nonzero(which)} of {len(which)} ({percent(which.mean())})"


def percent(share: float) -> str:
    """In whole percent; "-" of what has no value."""
    return f"{100 * share:.0f} %" if np.isfinite(share) else "-"
