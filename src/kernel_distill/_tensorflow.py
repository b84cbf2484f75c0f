"""TensorFlow Datasets, imported without TensorFlow's noise and without taking the GPU."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

_CHATTY = ("absl", "urllib3")


def import_tfds() -> Any:
    """tensorflow_datasets, with TensorFlow kept off the GPU, whose memory JAX wants for itself."""
    with _stderr_held_back() if "tensorflow" not in sys.modules else contextlib.nullcontext():
        import tensorflow as tf
        import tensorflow_datasets as tfds

        # fails only where the user's own program has started TensorFlow on the GPU already
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
    return tfds


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without TensorFlow's start-up lines, its search for Google credentials, a line a retry."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "NO_GCE_CHECK": "true"}
    added = {key: value for key, value in quiet.items() if key not in os.environ}
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in _CHATTY}
    os.environ.update(added)
    for logger in levels:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
        for key in added:
            os.environ.pop(key, None)


@contextlib.contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Keep what C++ libraries write to stderr, which no setting stops, unless there is an error."""
    try:
        stderr = os.dup(2)
    except OSError:  # a process without stderr
        yield
        return
    with tempfile.TemporaryFile() as held_back:
        sys.stderr.flush()
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            held_back.seek(0)
            os.write(stderr, held_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
