"""The exceptions of gentest: their family, their wording, and which errors report exhausted memory."""

from __future__ import annotations

import pytest
import torch

from gentest import errors
from gentest.errors import GentestError, InvalidArgument, Violation, out_of_memory


def test_a_violation_is_an_assertion_and_every_other_error_gentests() -> None:
    """A test that a property fails, fails as an assertion does; misuse is a `ValueError` too."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__module__ == errors.__name__]
    assert {kind for kind in kinds if not issubclass(kind, GentestError)} == {Violation, errors.UndecidedWarning}
    assert issubclass(Violation, AssertionError)
    assert issubclass(InvalidArgument, ValueError)


def test_a_wrong_argument_is_named_with_its_value_its_type_and_the_remedy() -> None:
    text = str(InvalidArgument.expected("a number >= 0", "tolerance", "x" * 1000, hint="see the guide"))
    assert text.startswith("Expected a number >= 0 but got tolerance='xxx")
    assert text.endswith("(type=str); see the guide")
    assert len(text) < 400


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.cuda.OutOfMemoryError("no room"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to ..."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_exhausted_memory_is_known_in_every_library(error: Exception) -> None:
    assert out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("shapes disagree"), GentestError("CUDA out of memory"), KeyError()])
def test_other_errors_are_not_about_memory(error: Exception) -> None:
    """An error of gentest's own is not, even if it quotes such a message."""
    assert not out_of_memory(error)
