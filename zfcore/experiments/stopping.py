"""Ctrl-C between two steps and not within one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether someone asked to stop, and whether a second time, to stop at once."""

    asked = False
    twice = False


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Inside, the first Ctrl-C or SIGTERM only sets `asked`; a second one interrupts at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():  # signals come to the main thread alone
        yield stop
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            stop.twice = True
            raise KeyboardInterrupt("stopped at once; nothing since the last checkpoint was saved")
        stop.asked = True  # and nothing is printed: a signal may come in the middle of a line

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
