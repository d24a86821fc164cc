"""Exceptions of models as texts for clients and for the log."""

from __future__ import annotations

import traceback
from types import TracebackType

from .errors import ContractError

_OWN_FOLDER = __file__.rsplit("/", 1)[0]


def describe(error: BaseException) -> str:
    """``Type: message`` and where it came from, the innermost place first, as Triton writes it."""
    if isinstance(error, ContractError):
        return str(error)
    if isinstance(error, SyntaxError):
        return "".join(traceback.format_exception_only(type(error), error)).rstrip("\n")
    text = f"{type(error).__name__}: {error}"
    places = _places(error.__traceback__)
    return f"{text}\n\nAt:\n" + "".join(f"  {place}\n" for place in places) if places else text


def _places(trace: TracebackType | None) -> list[str]:
    places = []
    for frame, line in traceback.walk_tb(trace):
        code = frame.f_code
        if not code.co_filename.startswith((_OWN_FOLDER, "<frozen importlib")):
            places.append(f"{code.co_filename}({line}): {code.co_name}")
    return places[::-1]
