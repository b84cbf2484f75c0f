"""A run on Weights & Biases."""

import importlib.util
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from kernel_distill._errors import MissingExtraError
from kernel_distill.artefact import Settled


class WeightsAndBiases:
    """Shows the run on Weights & Biases, as one run there however often it is stopped.

    Where, and whether online, say wandb's own environment variables: WANDB_PROJECT, WANDB_ENTITY,
    WANDB_MODE, WANDB_DIR.

    Raises:
        MissingExtraError: wandb is not installed.
    """

    name = "wandb"

    def __init__(self) -> None:
        found = importlib.util.find_spec("wandb")
        # without an origin it is the folder of its name that it leaves where runs were begun
        if found is None or found.origin is None:
            raise MissingExtraError(
                "to watch a run on Weights & Biases, wandb must be installed: "
                "pip install 'kernel-distill[wandb]'"
            )
        self._run: Any = None
        self._ended = False

    def begin(self, folder: Path, config: Mapping[str, Any], settled: Settled) -> None:
        """Begins a run there, or goes on with the one that was begun for this folder.

        Raises:
            Exception: what wandb raises: nobody is logged in, there is no network.
        """
        import wandb

        self._run = wandb.init(
            id=settled("wandb", lambda: secrets.token_hex(4)),
            name=folder.name,
            config=dict(config),
            resume="allow",
            reinit="create_new",  # a run of the user's own, in the same process, is left alone
        )
        self._known = self._run.step

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Each by its name."""
        self._log(step, metrics)

    def show(self, step: int, images: UInt8[np.ndarray, "height width 3"]) -> None:
        """The image `support`."""
        import wandb

        self._log(step, {"support": wandb.Image(images)})

    def end(self, result: Mapping[str, Any]) -> None:
        """All of it, in the summary of the run."""
        self._run.summary.update({f"result/{name}": value for name, value in result.items()})
        self._ended = True

    def close(self) -> None:
        """Waits until all is sent."""
        if self._run is not None:
            self._run.finish(exit_code=0 if self._ended else 1)

    def _log(self, step: int, content: Mapping[str, Any]) -> None:
        # what it has it cannot forget, and need not: a run that goes on repeats it
        if step >= self._known:
            self._run.log(dict(content), step=step)
