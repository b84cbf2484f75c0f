"""A run's folder: its settings, log, checkpoints and results, and who may write there."""

import contextlib
import errno
import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from kernel_distill import _hosts as hosts
from kernel_distill._errors import DamagedFileError, InputError
from kernel_distill._files import (
    PathLike,
    is_unfinished,
    remove_unfinished,
    storage_error,
    write_atomically,
)
from kernel_distill.artefact import _json
from kernel_distill.artefact._checkpoints import Checkpoint, Checkpoints
from kernel_distill.artefact._config import differences, dump_config, read_config
from kernel_distill.artefact._distilled import FILE_NAME as DISTILLED
from kernel_distill.artefact._distilled import Distilled, load
from kernel_distill.artefact._log import METRICS, Log
from kernel_distill.artefact._stage import Stage
from kernel_distill.artefact._watcher import Picture, Watcher, Watchers

CONFIG = "config.yaml"
RESULT = "result.json"
SETTLED = "settled.json"
CHECKPOINTS = "checkpoints"
TENSORBOARD = Path("tensorboard", "events.out.tfevents.*.kernel-distill")
_LOCK = ".lock"
_FILES = (
    DISTILLED,
    "preprocessing.npz",
    METRICS,
    RESULT,
    SETTLED,
    "images.png",
    "curves.png",
    "labels.png",
    "report.html",
    "transfer.json",  # what was found of a set ends with it
    "transfer.png",
)
# how to run, not what: they may differ when a run goes on
_NOT_SETTINGS = frozenset(
    {
        *("out", "resume", "overwrite", "config"),
        *("coordinator", "num_processes", "process_id"),
        *("insecure", "tensorboard", "wandb"),
    }
)
# where to run: they are kept, for the same bits, and may differ too, on another machine
_PLACE = frozenset({"devices", "tile", "memory", "ray", "group"})
# tells a run's folder from one of the user's own that happens to have a config.yaml
_HEADER = "# Settings of a kernel-distill run; run it again with --config and this file.\n"


class Run:
    """A run's folder, open for writing by this process alone. Made by `Run.create`.

    Attributes:
        path: the folder.
        config: the settings, as saved.
        checkpoints: its `Checkpoints`.
    """

    def __init__(
        self, path: Path, config: dict[str, Any], lock: IO[str], watchers: Sequence[Watcher]
    ) -> None:
        self.path = path
        self.config = config
        self.checkpoints = Checkpoints(path / CHECKPOINTS)
        self._log = Log(path)
        self._lock = lock
        self._watchers = Watchers(watchers)

    @classmethod
    def create(
        cls,
        path: PathLike,
        config: dict[str, Any],
        *,
        resume: bool = False,
        overwrite: bool = False,
        defaults: Mapping[str, Any] | None = None,
        watchers: Sequence[Watcher] = (),
    ) -> "Run":
        """Open the folder `path` for a run with the settings `config`.

        Args:
            path: new, empty, or the folder of a run where `resume` or `overwrite` is given.
            config: all settings, of what YAML can hold. When a run is resumed, `out`, `resume`,
                `overwrite`, `config`, and what says where to run (`devices`, `tile`, `memory`,
                `ray`, `group`, `insecure`, `coordinator`, `num_processes`, `process_id`) or to
                watch it (`tensorboard`, `wandb`) at its top may differ, nothing else. The three
                before are not saved, being each process's own, nor is `insecure`, nor who watches:
                these are for whoever starts a run to say.
            resume: go on with the run that is there.
            overwrite: begin anew. Removes what a run writes, and no other file.
            defaults: what settings were that a run of an earlier version, which is resumed, does
                not have yet.
            watchers: who looks on, such as those of `kernel_distill.watchers`. They may be others
                when a run is resumed: they are told what was before too. One that fails costs the
                run nothing but a warning.

        Raises:
            InputError: the folder holds a run and neither is given; it holds something else
                (never touched); there is no run to resume, or its settings differ; another
                process is writing there.
            StorageError: the folder cannot be made or written to.
        """
        path = Path(path)
        # whether a run is there to be kept is asked under the lock: another process may be at it
        check_folder(path, resume=resume, overwrite=overwrite or not resume)
        lock = _lock(path)
        try:
            check_folder(path, resume=resume, overwrite=overwrite)
            if resume:
                config = _same_config(path, config, defaults or {})
            else:
                _remove_run(path)
                config = _json.plain(
                    {key: value for key, value in config.items() if key not in _NOT_SETTINGS}
                )
                write_atomically(path / CONFIG, (_HEADER + dump_config(config)).encode())
            remove_unfinished(path)
        except BaseException:
            lock.close()
            raise
        return cls(path, config, lock, watchers)

    def log(self, *, step: int, **metrics: Any) -> None:
        """Append one line to `metrics.jsonl`: the step and its numbers.

        Numbers that are not finite are written as null. A line is there whole or not at all.

        Raises:
            InputError: a value has no JSON form.
            StorageError: it could not be written; the earlier lines are whole.
        """
        line = _json.plain({"step": step, **metrics})
        self._log.append(line)
        self._watchers.log(line)

    def metrics(self) -> list[dict[str, Any]]:
        """The logged lines, in their order. A last line that a kill cut short is left out.

        Raises:
            DamagedFileError: a line before the last is not what `log` writes.
        """
        return self._log.lines()

    def rewind(self, step: int) -> None:
        """Drop the logged lines after `step`, for a run that goes on from there.

        Lines that cannot be read are dropped too. -1 drops all.
        """
        self._log.rewind(step)

    def watch(self, picture: Picture, stages: Iterable[Stage] = ()) -> None:
        """Let the watchers begin, with what has been so far; from here on they are told all.

        After `rewind`, before anything is logged.

        Args:
            picture: makes a sheet of images of a stage; None where it has no images to show.
            stages: those before, by step; read where somebody looks on only.
        """
        if self._watchers:
            self._watchers.begin(self.path, self.config, self.settled, picture)
            self._watchers.tell(self.metrics(), stages)

    def show(self, stage: Stage) -> None:
        """Show the support to the watchers, where there are any; nothing is written here."""
        self._watchers.show(stage)

    def settled(self, name: str, find: Callable[[], Any]) -> Any:
        """What was found when the run first asked for `name`, and stays for the rest of it.

        For what is measured on the machines that a run begins on, and decides on the bits of its
        results: when the run goes on, it is not measured again.

        Args:
            name: of the value, in `settled.json`.
            find: gives it, as something that JSON can hold; called where it is not there yet.

        Raises:
            DamagedFileError: the file is there and cannot be read.
            StorageError: it could not be written.
        """
        path = self.path / SETTLED
        try:
            values = json.loads(path.read_bytes()) if path.exists() else {}
            if not isinstance(values, dict):
                raise ValueError(f"got {values!r}")
        except (ValueError, OSError) as error:
            raise DamagedFileError(
                f"{path} is not the JSON that this run wrote there ({error}). Restore it from a "
                "copy, or remove it: the run then goes on, to numbers that may differ in rounding."
            ) from error
        if name in values:
            return values[name]
        found = find()
        text = json.dumps(values | {name: found}, indent=2, ensure_ascii=False)
        write_atomically(path, (text + "\n").encode())
        return found

    def save_distilled(self, distilled: Distilled) -> None:
        """Write `distilled.npz`."""
        distilled.save(self.path / DISTILLED)

    def distilled(self) -> Distilled | None:
        """What is in `distilled.npz`; None where it is not there, or cannot be read."""
        path = self.path / DISTILLED
        if not path.exists():
            return None
        try:
            return load(path)
        except (DamagedFileError, InputError):
            return None

    def save_result(self, result: Mapping[str, Any]) -> None:
        """Write `result.json`."""
        text = json.dumps(_json.plain(result), indent=2, ensure_ascii=False)
        write_atomically(self.path / RESULT, (text + "\n").encode())
        self._watchers.end(result)

    def close(self) -> None:
        """Let other processes write here. The end of the process does it too."""
        self._watchers.close()
        self._lock.close()

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def last_checkpoint(run: Run | None) -> Checkpoint | None:
    """The last whole checkpoint of a run, None where there is none, in each of its processes.

    The first process reads it and sends it to the others, which then start from the same bits
    whether or not they see its files: on a file system in common, what one host has just written
    another may not see yet.

    Args:
        run: in the first process; the others have none.
    """
    own = run.checkpoints.latest() if run else None
    data = hosts.from_first(own.to_bytes() if own else b"")
    return Checkpoint.from_bytes(data) if data else None


def check_folder(path: PathLike, *, resume: bool = False, overwrite: bool = False) -> None:
    """Whether `Run.create` would take the folder, as far as can be told without touching it.

    Raises:
        InputError: it holds a run and neither `resume` nor `overwrite` is given; it holds something
            else; there is no run to resume.
    """
    path = Path(path)
    if resume and overwrite:
        raise InputError("resume and overwrite exclude each other; got both")
    if resume and not holds_run(path):
        raise InputError(f"there is no run to resume in {path}; leave out --resume to begin")
    if holds_run(path) and not (resume or overwrite):
        raise InputError(
            f"{path} already holds a run. Go on with it: --resume. Begin anew and lose "
            "it: --overwrite. Or choose another folder with --out."
        )
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} must be a folder; it is a file. Choose another name with --out.")
    if not holds_run(path) and _holds_other(path):
        raise InputError(
            f"{path} must be new, empty or the folder of a run; it holds other files (such as "
            f"{_holds_other(path)}), which are left alone. Choose another folder with --out."
        )


def holds_run(path: PathLike) -> bool:
    """Whether the folder `path` is that of a run: it has the settings that a run writes first."""
    try:
        with open(Path(path) / CONFIG, encoding="utf-8") as file:
            return file.read(len(_HEADER)) == _HEADER
    except (OSError, UnicodeDecodeError):
        return False


def _holds_other(path: Path) -> str:
    """The name of a file there that is not a run's own leftover, empty where there is none."""
    if not path.exists():
        return ""
    for entry in sorted(path.iterdir()):
        if entry.name != _LOCK and not is_unfinished(entry):
            return entry.name
    return ""


def _remove_run(path: Path) -> None:
    # the settings stay until they are replaced: while they are there, this is a run's folder, and
    # a process killed here leaves one that can be overwritten again
    checkpoints = path / CHECKPOINTS
    own = [path / name for name in _FILES]
    own += path.glob(str(TENSORBOARD))
    own += [
        *checkpoints.glob("step_*.safetensors"),
        *checkpoints.glob("step_*.safetensors.damaged"),
    ]
    try:
        for file in own:
            file.unlink(missing_ok=True)
        remove_unfinished(checkpoints)
    except OSError as error:
        raise storage_error(path, error) from error
    for folder in (checkpoints, path / TENSORBOARD.parent):
        with contextlib.suppress(OSError):  # not empty where a user put something there
            folder.rmdir()


def _same_config(path: Path, given: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    saved = read_config(path / CONFIG)
    saved |= {
        name: value
        for name, value in _json.plain(defaults).items()
        if name not in saved and name not in _NOT_SETTINGS
    }
    lines = differences(saved, _json.plain(given), ignored=_NOT_SETTINGS | _PLACE)
    if lines:
        raise InputError(
            f"a run goes on with the settings it began with ({path / CONFIG}); these differ: "
            f"{'; '.join(lines)}. Give the saved ones (--config {path / CONFIG}), or begin a new "
            "run in another folder."
        )
    if moved := [
        f"{name}: {saved.get(name)} then, {given.get(name)} now"
        for name in sorted(_PLACE)
        if saved.get(name) != given.get(name)
    ]:
        warnings.warn(
            f"the run goes on elsewhere than it began ({'; '.join(moved)}): its last bits will not "
            "be those of a run that was never stopped",
            stacklevel=2,
        )
    return saved


def _lock(path: Path) -> IO[str]:
    """The open lock file: whoever holds it may write; the end of the process lets go of it."""
    import fcntl  # not on Windows, where the rest of the library can still be imported

    try:
        path.mkdir(parents=True, exist_ok=True)
        file = open(path / _LOCK, "a+", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise storage_error(path / _LOCK, error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
    except BlockingIOError as error:
        file.seek(0)
        owner = file.read().strip()
        file.close()
        raise InputError(
            f"another process{f' (number {owner})' if owner else ''} is writing the run in {path}; "
            "wait for its end, stop it, or choose another folder with --out"
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            file.close()
            raise storage_error(path / _LOCK, error) from error
        warnings.warn(
            f"{path} is on a file system without locks ({error.strerror}): see to it yourself "
            "that only one process writes there",
            stacklevel=3,
        )
    return file
