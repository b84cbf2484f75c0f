"""A run as event files, which TensorBoard shows."""

import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from kernel_distill._files import append
from kernel_distill.artefact import TENSORBOARD, Settled, dump_config

_RESULTS = ("test_accuracy", "initial_test_accuracy", "validation_accuracy")


class TensorBoard:
    """Writes `tensorboard/` in the folder of the run: `tensorboard --logdir runs` shows it.

    There is one event file, which holds what the log and the kept checkpoints do. A run that is
    resumed begins a new one with all of that: readers of event files differ in what they make of
    steps that come twice, and so the steps between the last checkpoint and a kill come once, and a
    run that was not watched from its start is shown from its start. Of several runs TensorBoard
    makes a table of their settings and accuracies, by its plugin of hyperparameters.
    """

    name = "TensorBoard"

    def begin(self, folder: Path, config: Mapping[str, Any], settled: Settled) -> None:
        """Replaces the event file of the folder.

        Raises:
            StorageError: it cannot be written.
        """
        del settled
        from tensorboardX.proto.event_pb2 import SessionLog
        from tensorboardX.summary import hparams, text

        for old in (folder / TENSORBOARD.parent).glob(TENSORBOARD.name):
            old.unlink()
        # TensorBoard takes the later name for the later file, and begins to read it when it has
        # read the one before to its end
        name = TENSORBOARD.name.replace("*", f"{time.time():.6f}")
        self._path = folder / TENSORBOARD.parent / name
        self._write(0, file_version="brain.Event:2")
        # one that has read the file before forgets what it held
        self._write(0, session_log=SessionLog(status=SessionLog.START))
        self._write(0, summary=text("config", _code(dump_config(dict(config)))))
        # without its first part, the columns of one table of all runs: each would say other ones,
        # and TensorBoard finds them by itself
        _, begun, self._ended = hparams({name: _plain(each) for name, each in config.items()}, {})
        self._write(0, summary=begun)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Each of them as a scalar of its name.

        Raises:
            StorageError: it cannot be written.
        """
        from tensorboardX.summary import scalar

        for name, value in metrics.items():
            self._write(step, summary=scalar(name, value))

    def show(self, step: int, images: UInt8[np.ndarray, "height width 3"]) -> None:
        """The image `support`.

        Raises:
            StorageError: it cannot be written.
        """
        from tensorboardX.summary import image

        self._write(step, summary=image("support", images, dataformats="HWC"))

    def end(self, result: Mapping[str, Any]) -> None:
        """The accuracies as scalars, at the last step, and all of it as text.

        Raises:
            StorageError: it cannot be written.
        """
        from tensorboardX.summary import text

        step = result["steps"]
        found = {name: result[name] for name in _RESULTS if result[name] is not None}
        self.log(step, {f"result/{name}": value for name, value in found.items()})
        self._write(step, summary=text("result", _code(dump_config(dict(result)))))
        self._write(step, summary=self._ended)

    def close(self) -> None:
        """Nothing is held back: what was told is in the file."""

    def _write(self, step: int, **content: Any) -> None:
        # not by a writer of tensorboardX or of tensorboard: theirs write in a thread, which ends
        # where the disk is full, and the run would wait for it for ever
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.record_writer import masked_crc32c

        event = Event(wall_time=time.time(), step=step, **content).SerializeToString()
        size = struct.pack("<Q", len(event))
        record = [each + struct.pack("<I", masked_crc32c(each)) for each in (size, event)]
        append(self._path, b"".join(record))


def _plain(setting: Any) -> str | int | float | None:
    """As the table of settings holds them: texts, numbers, yes or no."""
    if isinstance(setting, list | tuple):
        return ", ".join(map(str, setting))
    return setting if isinstance(setting, str | int | float | None) else str(setting)


def _code(text: str) -> str:
    """As Markdown that keeps its lines."""
    return "\n".join(f"    {line}" for line in text.splitlines())
