"""Whether a training fits, told before it starts."""

from typing import Any

from kernel_distill._errors import InputError
from kernel_distill._memory import available_memory
from kernel_distill.networks import Network

_GIB = 2**30


def program_memory(program: Any) -> int:
    """Bytes that a compiled program holds as it runs; 0 where the compiler does not tell."""
    statistics = program.memory_analysis()
    if statistics is None:
        return 0
    return int(
        statistics.temp_size_in_bytes
        + statistics.argument_size_in_bytes
        + statistics.output_size_in_bytes
    )


def require_memory(needed: int, network: Network) -> None:
    """Raises InputError where a training needs more bytes than there are."""
    present = available_memory()
    if present is not None and needed > present:
        width = "" if network.width is None else f" of width {network.width}"
        raise InputError(
            f"to train {network.name}{width} takes about {needed / _GIB:.1f} GiB of memory, and "
            f"there are {present / _GIB:.1f} GiB: take a smaller width or batch_size"
        )
