"""The exceptions of gentest.

A violation is an `AssertionError`, and misuse is `InvalidArgument`. A failure inside a user's generator, attribute or
property is wrapped with the place where it happened, and keeps its cause.
"""

from __future__ import annotations

from gentest._support.printable import short_repr


class GentestError(Exception):
    """Base of every gentest error except a violation."""


class InvalidArgument(GentestError, ValueError):
    """gentest was given a wrong value. The message names the value, its type and the remedy."""

    @classmethod
    def expected(cls, what: str, name: str, value: object, *, hint: str = "") -> InvalidArgument:
        """An error in Hypothesis's wording: `Expected int but got n='x' (type=str)`.

        >>> str(InvalidArgument.expected("a number >= 0", "tolerance", -1))
        'Expected a number >= 0 but got tolerance=-1 (type=int)'
        """
        text = f"Expected {what} but got {name}={short_repr(value)} (type={type(value).__name__})"
        return cls(f"{text}; {hint}" if hint else text)


class GeneratorError(GentestError):
    """The generator under test raised, or did not return a batch of outputs in its range."""

    probe: object = None
    """The probe on which it failed, if known; the message names it then."""

    def at(self, probe: object) -> GeneratorError:
        """This error, with the probe added to it and to its message."""
        self.probe = probe
        self.args = (f"{self} (probe {probe})",)
        return self


class InvalidOutput(GeneratorError):
    """An output of the generator is not finite, or leaves its range by more than rounding; `probe` names its probe."""

    place: int = 0
    """The output's place among the outputs of the probe."""
    n_places: int = 1
    """Outputs of the probe."""
    n_values: int = 0
    """Values of the output."""
    not_finite: int = 0
    """Those of them that are not finite."""
    excess: float = 0.0
    """The largest distance of a finite value from the range, as a share of the range's width."""
    subject: str = ""
    """The fingerprint of the generator with its prior and range."""


class WrongOutputs(GeneratorError):
    """The generator returns no batch of outputs for any input: several tensors in a container, or another shape.

    The message is about the generator and shows the code to write; it names no probe.
    """


class AttributeFailed(GentestError):
    """An attribute or feature raised, or did not return one finite score (or row) an output."""


class NoSpread(AttributeFailed):
    """An attribute or feature is constant under the prior, so it has no standard deviation to measure by."""


class PropertyFailed(GentestError):
    """A property's own code raised, or did not return one finite margin a probe."""


class ClipError(GentestError):
    """A CLIP model or a prompt's embedding is unavailable; the message says how to get it beforehand."""


class NotChecked(GentestError):
    """A decorated test was called without gentest's engine to check it."""


class Violation(AssertionError):
    """A property does not hold. The message is the report for a person."""


class UndecidedWarning(UserWarning):
    """A rate or a gate is undecided, in a run that only warns about it."""


NO_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
    "Failed to allocate memory for requested buffer",
    "bad allocation",
)
"""Messages of torch, CUDA's libraries and ONNX Runtime that report exhausted memory in a `RuntimeError`."""


def out_of_memory(error: BaseException) -> bool:
    """True for an exception that reports exhausted memory, on any device: a smaller batch may fit.

    >>> out_of_memory(MemoryError()), out_of_memory(RuntimeError("shapes (3) and (4) differ"))
    (True, False)
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported
        return True
    return not isinstance(error, GentestError) and any(words in str(error) for words in NO_MEMORY)
