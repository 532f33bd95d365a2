"""Where in a user's own code an error came from, in this process or in another."""

from __future__ import annotations

import pickle
import traceback as tracebacks
from pathlib import Path

from gentest._support.printable import error_summary
from gentest.errors import GentestError

OURS = Path(__file__).parents[1]


class Elsewhere(Exception):
    """The cause of an error that another process raised: its traceback as text, since frames do not travel."""


def their_traceback(error: BaseException) -> str:
    """The traceback of what a user's code raised, without gentest's own frames; empty where it raised nothing."""
    cause = error.__cause__
    if cause is None or isinstance(cause, Elsewhere):
        return "" if cause is None else str(cause)
    frames = tracebacks.extract_tb(cause.__traceback__)
    theirs = [frame for frame in frames if OURS not in Path(frame.filename).parents]
    return "".join([*tracebacks.format_list(theirs or frames), *tracebacks.format_exception_only(cause)])


def sendable(error: Exception) -> tuple[Exception, str]:
    """An error that another process can raise again, and the traceback that goes with it.

    What cannot be made again there, since it is of a class that takes more than its message, is said in words.
    """
    ours = isinstance(error, GentestError)
    text = their_traceback(error) if ours else "".join(tracebacks.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return (GentestError(str(error)) if ours else RuntimeError(error_summary(error))), text
    return error, text


def again(error: Exception, text: str) -> Exception:
    """The error of another process, to be raised here; its cause says where it was raised there."""
    error.__cause__ = Elsewhere(text) if text else None
    return error
