"""What a run leaves behind: every raw sample, with the facts of the machine. As JSON, one case a line."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
import zfkernels

from zfcore.errors import ZfcoreError
from zfcore.files import write_whole

FORMAT = "zfcore bench 1"
OURS = "zfcore"
CARRIED = "with transfers"  #: The side that is ours with the way to a device and back.


@dataclass
class Side:
    """The times of one side of a case, in seconds a call.

    Parameters
    ----------
    first : float or None
        The very first call of the process: compiling and loading are in it. No sample.
    warm : float
        The call after that one. No sample.
    inner : int
        Calls in a sample; a sample is their mean.
    samples : list of float
    note : str
        Why there are none, or fewer than there should be.
    """

    first: float | None = None
    warm: float = 0.0
    inner: int = 1
    samples: list[float] = field(default_factory=list)
    note: str = ""

    @property
    def median(self) -> float | None:
        """None without samples."""
        return median(self.samples) if self.samples else None

    @property
    def spread(self) -> float:
        """The interquartile range, in seconds; 0 of a single sample, which has none.

        Examples
        --------
        >>> Side(samples=[1.0, 2.0, 3.0, 4.0, 100.0]).spread
        2.0
        """
        if len(self.samples) < 2:
            return 0.0
        low, _, high = quantiles(self.samples, n=4, method="inclusive")
        return high - low


@dataclass
class Timed:
    """One case of a run.

    Parameters
    ----------
    id, family, n
        Of the `Case`.
    flops, moved : int
        Operations and bytes that it needs; 0 where not counted.
    verified : str
        What our answer was held against before it was timed.
    error : str
        What was wrong with it, if it was wrong.
    sides : dict of str to Side
        "zfcore", the peers, and on a device "with transfers".
    """

    id: str
    family: str
    n: int
    flops: int = 0
    moved: int = 0
    verified: str = ""
    error: str = ""
    sides: dict[str, Side] = field(default_factory=dict)

    @property
    def function(self) -> str:
        """What was called."""
        return self.id.partition("/")[0]

    @property
    def what(self) -> str:
        """The rest of the id."""
        return self.id.partition("/")[2]

    def median(self, side: str = OURS) -> float | None:
        """A side's median in seconds, if it has one."""
        return self.sides[side].median if side in self.sides else None

    def ratio(self, peer: str) -> float | None:
        """How many times the peer's time is ours: above 1 we are faster."""
        ours, theirs = self.median(), self.median(peer)
        return None if ours is None or theirs is None or self.error else theirs / ours


@dataclass
class Results:
    """One run.

    Parameters
    ----------
    machine : dict
        Facts, from `zfcore.bench.machine.facts`; of a device those of `zfcore.bench.cuda` under "device".
    ceilings : dict
        "multiply_adds" in operations a second, "copy" in bytes a second, and how they were measured.
    settings : dict
        Backend, threads, peers, budget, version.
    cases : list of Timed
    left_out : list of {"id", "reason"}
    """

    machine: dict[str, Any]
    ceilings: dict[str, Any]
    settings: dict[str, Any]
    cases: list[Timed] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)

    @property
    def threads(self) -> int:
        """Of every side."""
        return int(self.settings["threads"])

    @property
    def backend(self) -> str:
        """Where our side computed."""
        return str(self.settings.get("backend", "cpu"))

    @property
    def on_device(self) -> bool:
        """Whether that was a device, with a memory of its own."""
        return self.backend in zfkernels.DEVICES

    @property
    def processor(self) -> str:
        """What computed, by its name."""
        return str(self.machine["device"]["name"] if self.on_device else self.machine["cpu"])

    @property
    def peers(self) -> list[str]:
        """Those that have a time in some case, in the order of the report."""
        return [peer for peer in self.settings["peers"] if any(case.median(peer) is not None for case in self.cases)]

    def roof(self, case: Timed) -> float | None:
        """The least time the ceilings allow, in seconds: of multiplying and of moving memory whichever takes longer."""
        return max(case.flops / self.ceilings["multiply_adds"], case.moved / self.ceilings["copy"]) or None

    def of_copy(self, case: Timed) -> float | None:
        """The bytes a second of a case over those of a copy that moves as many, on a device: between sizes that were copied by a line."""
        time, sizes = case.median(), self.ceilings.get("copy_sizes")
        if not time or not sizes or not case.moved or case.error:
            return None
        bytes_, rates = zip(*sizes, strict=True)
        return case.moved / time / float(np.interp(math.log(case.moved), np.log(bytes_), rates))

    def share(self, case: Timed, side: str = OURS) -> float | None:
        """`roof` over the median: 1 is the ceiling. Above 1 what is counted did not leave the cache, or an algorithm spares work."""
        roof, time = self.roof(case), case.median(side)
        return None if roof is None or time is None else roof / time


def write(path: Path, results: Results) -> None:
    """Write results as JSON, one case a line.

    Raises
    ------
    ZfcoreError
        If it cannot be written.
    """
    head = {"format": FORMAT, "machine": results.machine, "ceilings": results.ceilings, "settings": results.settings}
    lines = [json.dumps(head, indent=1)[:-2] + ","]
    for name, items in (("cases", [asdict(case) for case in results.cases]), ("left_out", results.left_out)):
        rows = ",\n".join("  " + json.dumps(item) for item in items)
        lines.append(f' "{name}": [\n{rows}\n ]' + ("," if name == "cases" else "\n}"))
    write_whole(path, ("\n".join(lines) + "\n").encode())


def read(path: Path) -> Results:
    """Results from a file.

    Raises
    ------
    ZfcoreError
        If there is no such file, or it holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ZfcoreError(f"{path}: cannot be read: {error.strerror}; needed the results.json of a run of zfcore bench") from error
    except (ValueError, RecursionError) as error:
        raise ZfcoreError(f"{path}: is damaged, or no JSON ({error}); needed the results.json of a run of zfcore bench") from error
    try:
        if content["format"] != FORMAT:
            raise ValueError(f"format: {content['format']!r:.40}")
        return _checked(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ZfcoreError(f"{path}: is no result of zfcore bench of this version ({reason})") from error


def _checked(content: dict[str, Any]) -> Results:
    cases = [Timed(**case | {"sides": {name: Side(**side) for name, side in case["sides"].items()}}) for case in content["cases"]]
    for case in cases:
        times = [sample for side in case.sides.values() for sample in side.samples]
        right = all(isinstance(x, int | float) and math.isfinite(x) and x >= 0 for x in (case.flops, case.moved, *times))
        if not isinstance(case.id, str) or not right or 0 in times:
            raise ValueError(f"case {case.id!r:.60} holds what is no time")
    results = Results(content["machine"], content["ceilings"], content["settings"], cases, content["left_out"])
    results.ceilings |= {name: float(results.ceilings[name]) for name in ("multiply_adds", "copy")}
    if any(not 0 < float(number) < math.inf for pair in results.ceilings.get("copy_sizes", ()) for number in pair):
        raise ValueError("ceilings hold a copy of no size or speed")
    if not min(results.ceilings["multiply_adds"], results.ceilings["copy"], results.threads) > 0:
        raise ValueError("ceilings and threads must be above 0")
    results.processor, results.machine["cpu"], results.machine["versions"].get("numba"), results.settings["peers"]
    [left["id"] + left["reason"] for left in results.left_out]
    return results
