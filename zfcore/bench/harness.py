"""The clockwork: sides take turns, and every sample is kept.

A round gives each side one sample; the next round begins with another side. So what slows the machine for a while slows all sides
alike. A sample is the mean of as many calls as fill `SAMPLE` seconds. Calls shorter than `SETTLE` are made once more before each
sample, untimed, so that the caches are that side's own and no thread of another side is still spinning.

What a call takes is a side's own `Watch` to say: the host's clock cannot see when a device is done.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from zfcore.bench.results import Side

LEAST, MOST = 7, 31  #: Samples a side.
SAMPLE = 0.005  #: Seconds that a sample lasts at least.
SETTLE = 0.02  #: Calls shorter than so many seconds are settled.
HOPELESS = 10  #: Times slower: of such a side more samples would tell nothing.
ENOUGH = 1.5  #: Seconds of sampling after which more than `LEAST` samples are not worth it.

Clock = Callable[[], float]
Calls = Mapping[str, Callable[[], Any]]
Watch = Callable[[Callable[[], Any], int], float]
"""(call, count) to the seconds that so many calls take together."""


def first_call(call: Callable[[], Any], clock: Clock = time.perf_counter) -> tuple[Any, float]:
    """A side's first result, and how long it took: compiling and loading are in it."""
    start = clock()
    result = call()
    return result, clock() - start


def by_clock(clock: Clock) -> Watch:
    """Calls one after the other, between two looks at a clock."""

    def watch(call: Callable[[], Any], count: int) -> float:
        start = clock()
        for _ in range(count):
            call()
        return clock() - start

    return watch


def take_turns(
    calls: Calls, seconds: float, clock: Clock = time.perf_counter, watches: Mapping[str, Watch] = MappingProxyType({})
) -> dict[str, Side]:
    """Sample all sides in turns.

    Parameters
    ----------
    calls : dict of str to callable
        The sides; each has been called before.
    seconds : float
        The case's share of time: no new round begins after it, but one round there is always.
    clock : callable, optional
        Seconds, monotonic.
    watches : dict of str to Watch
        Of the sides that the clock is not for.

    Returns
    -------
    dict of str to Side
        A side that is `HOPELESS` times slower than another, and would take the time from it, has a single sample and a note.
    """
    with garbage_waits():
        end = clock() + seconds
        watch = {name: watches.get(name, by_clock(clock)) for name in calls}
        sides = {name: _warmed(call, watch[name], clock) for name, call in calls.items()}
        fastest = min(side.warm for side in sides.values())
        for side in sides.values():
            if side.warm > HOPELESS * fastest and LEAST * len(sides) * side.warm > seconds:
                side.samples.append(side.warm)
                side.note = f"more than {HOPELESS} times slower than another, and no time for it: a single sample"
        turns = [name for name, side in sides.items() if not side.note]
        begun = clock()
        for number in range(MOST):
            now = clock()
            if number and (now > end or (number >= LEAST and now - begun > ENOUGH)):
                break
            first = number % len(turns)
            for name in turns[first:] + turns[:first]:
                sides[name].samples.append(_sample(calls[name], sides[name].inner, sides[name].warm, watch[name]))
    return sides


def _warmed(call: Callable[[], Any], watch: Watch, clock: Clock) -> Side:
    """A side that has been called once more, by which is known how many calls make a sample."""
    start = clock()
    warm = watch(call, 1)
    return Side(warm=warm, inner=max(1, round(SAMPLE / max(clock() - start, 1e-7))))


def _sample(call: Callable[[], Any], inner: int, warm: float, watch: Watch) -> float:
    if warm < SETTLE:
        call()
    return watch(call, inner) / inner


@contextmanager
def garbage_waits() -> Iterator[None]:
    """Nothing is collected while clocks run."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
