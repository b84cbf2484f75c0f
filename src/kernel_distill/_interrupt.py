"""Ctrl-C and SIGTERM, held back until a step is whole and its state saved."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from kernel_distill import _hosts as hosts


class Interrupted(KeyboardInterrupt):
    """A run was stopped by a signal after its state was saved.

    Attributes:
        signal_number: SIGINT or SIGTERM; a process ended by it exits with 128 more.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


class HeldSignals:
    """What has arrived while signals are held back, in any of the processes of a run.

    All processes must ask as often, at the same places: so all stop after the same step.
    """

    def __init__(self) -> None:
        self._received: int | None = None

    def received(self) -> int | None:
        """The number of a signal that has arrived; None: none has."""
        return hosts.agreed(self._received)

    def raise_if_received(self) -> None:
        """Raises Interrupted if a signal has arrived."""
        number = self.received()
        if number is not None:
            raise Interrupted(number)

    def _receive(self, signal_number: int, frame: FrameType | None) -> None:
        del frame
        if self._received is not None:  # a second one does not wait
            raise Interrupted(signal_number)
        self._received = signal_number
        # not print: the signal may have arrived in the middle of one
        os.write(2, b"stopping after this step; once more to stop at once\n")


@contextmanager
def held_signals() -> Iterator[HeldSignals]:
    """Holds SIGINT and SIGTERM back within the block; ask with `raise_if_received` between steps.

    Outside the main thread Python delivers no signals, and nothing is held.
    """
    held = HeldSignals()
    if threading.current_thread() is not threading.main_thread():
        yield held
        return
    before = {
        number: signal.signal(number, held._receive) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield held
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
