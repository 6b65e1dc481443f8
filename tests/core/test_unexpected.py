"""What is said of an error that nobody foresaw."""

import errno

import numpy as np
import pytest
import torch

from prime_audit.core import ran_out_of_memory, unexpected
from prime_audit.errors import NoMemoryError

TOO_MANY = 1 << 60


def raised_by_numpy() -> BaseException:
    with pytest.raises(MemoryError) as caught:
        np.ones(TOO_MANY >> 6)
    return caught.value


def raised_by_torch() -> BaseException:
    with pytest.raises(RuntimeError) as caught:
        torch.ones(TOO_MANY >> 6)
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        OSError(errno.ENOMEM, "whatever the system says"),
        RuntimeError("unable to mmap 5 bytes from file <x>: Cannot allocate memory (12)"),
    ],
)
def test_memory_is_recognised_whoever_says_so(error: Exception) -> None:
    assert ran_out_of_memory(error)


def test_memory_is_recognised_as_numpy_and_torch_say_it_today() -> None:
    assert ran_out_of_memory(raised_by_numpy())
    assert ran_out_of_memory(raised_by_torch())


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), OSError(errno.ENOSPC, "full"), KeyError(1)])
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert not ran_out_of_memory(error)


def told(error: Exception) -> tuple[str, str]:
    try:
        raise error
    except Exception as caught:
        found = unexpected(caught, "ask the makers")
        assert found.exit_code == 1
        assert isinstance(found, NoMemoryError) == ran_out_of_memory(error)
        return str(found), found.hint


def test_a_fault_is_named_by_type_and_place_without_its_text() -> None:
    message, hint = told(ValueError("a secret"))
    assert message.startswith("unexpected ValueError in test_unexpected.py, line ")
    assert "secret" not in message + hint
    assert hint == "ask the makers"


def test_too_little_memory_is_no_fault_of_the_program() -> None:
    message, hint = told(RuntimeError("DefaultCPUAllocator: can't allocate memory: a secret"))
    assert message.startswith("memory ran out in test_unexpected.py, line ")
    assert "secret" not in message + hint
    assert "run.workers" in hint
