"""What gentest raises. A violation is an `AssertionError`; misuse is `InvalidArgument`; a failure inside the user's
generator, attribute or property is wrapped with where it happened and keeps its cause."""

from __future__ import annotations

from gentest._support.printable import LONGEST, in_one_line, printable


class GentestError(Exception):
    """Base of every error of gentest that is not a violation."""


class InvalidArgument(GentestError, ValueError):
    """A value that gentest was given is wrong; the message names it, its type, and what to do."""

    @classmethod
    def expected(cls, what: str, name: str, value: object, *, hint: str = "") -> InvalidArgument:
        """Words an error as Hypothesis does: `Expected int but got n='x' (type=str)`.

        >>> str(InvalidArgument.expected("a number >= 0", "tolerance", -1))
        'Expected a number >= 0 but got tolerance=-1 (type=int)'
        """
        text = f"Expected {what} but got {name}={shown(value)} (type={type(value).__name__})"
        return cls(f"{text}; {hint}" if hint else text)


class GeneratorError(GentestError):
    """The generator under test raised, or returned something that is not a batch of outputs in its range."""

    probe: object = None
    """The probe that it failed on, where that is known; the message names it then."""


class WrongOutputs(GeneratorError):
    """The generator returned something that is no batch of outputs, whatever it was given: a container of several
    tensors, another shape. The message is about the generator and has the code to write; it names no probe."""


class AttributeFailed(GentestError):
    """An attribute or feature raised, or returned something that is not one finite score (or row) an output."""


class NoSpread(AttributeFailed):
    """An attribute or feature does not vary under the prior: there is no standard deviation to measure by."""


class PropertyFailed(GentestError):
    """A property's own code raised, or returned something that is not one finite margin a probe."""


class ClipError(GentestError):
    """A CLIP model or a prompt's embedding cannot be had; the message says how to get it beforehand."""


class NotChecked(GentestError):
    """A decorated test was called, and gentest's engine was not there to check it."""


class Violation(AssertionError):
    """A property does not hold. The message is the report that a person reads."""


class UndecidedWarning(UserWarning):
    """A rate or a gate is undecided, in a run that only warns of it."""


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
"""How torch, CUDA's libraries and ONNX Runtime say in a `RuntimeError` that there is no memory."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory has run out, on whatever device: fewer at once may fit.

    >>> out_of_memory(MemoryError()), out_of_memory(RuntimeError("shapes (3) and (4) differ"))
    (True, False)
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported
        return True
    return not isinstance(error, GentestError) and any(words in str(error) for words in NO_MEMORY)


def shown(value: object) -> str:
    """A value as an error shows it: its repr, of a bounded length.

    >>> shown("x"), len(shown("x" * 10_000)) <= 300
    ("'x'", True)
    """
    try:
        said = repr(value)
    except Exception:  # a repr is code of whoever wrote it, and one of what is nested too deep cannot be had
        said = f"a {type(value).__name__}"
    return said if len(said) <= LONGEST else in_one_line(said)


def in_a_line(error: BaseException) -> str:
    """An exception's type, and the first line of what it says where it says anything.

    >>> in_a_line(ValueError("no\\nmore")), in_a_line(KeyError())
    ('ValueError: no', 'KeyError')
    """
    return printable(": ".join([type(error).__name__, *str(error).splitlines()[:1]]))


def first_line(error: BaseException) -> str:
    """The first line of what an exception says; its type where it says nothing.

    >>> first_line(ValueError("no\\nmore")), first_line(KeyError())
    ('no', 'KeyError')
    """
    return printable((str(error).splitlines() or [type(error).__name__])[0])
