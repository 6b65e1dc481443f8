"""What is said of an error that nobody foresaw; its own message may hold somebody's text."""

import errno
import traceback
from pathlib import Path

from prime_audit.errors import NoMemoryError, PrimeAuditError

# PyTorch's allocator for the CPU, and the system where it maps a file.
_NO_MEMORY = ("DefaultCPUAllocator", "Cannot allocate memory")


def ran_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out, whoever says so.

    Args:
        error: From Python, numpy, PyTorch on any device, or the system.

    Returns:
        Whether memory was too small.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return any(words in str(error) for words in _NO_MEMORY)


def unexpected(error: Exception, hint: str) -> PrimeAuditError:
    """Name an error by type and place, or by what it means where memory ran out.

    Args:
        error: The error.
        hint: What to do about a fault in the program.

    Returns:
        What a reader is told.
    """
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}, line {place.lineno}"
    if ran_out_of_memory(error):
        return NoMemoryError(
            f"memory ran out in {where}",
            hint="try fewer run.workers, or a machine with more memory; the same command continues a study",
        )
    return PrimeAuditError(f"unexpected {type(error).__name__} in {where}", hint=hint)
