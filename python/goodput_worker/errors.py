"""Errors of the model interface."""

from __future__ import annotations

import enum


class TritonModelException(RuntimeError):
    """A call of the model interface that cannot be served."""


class ContractError(Exception):
    """What ``execute`` returned is not what it has to return. Told in its own words, without a place in the code."""


class ErrorCode(enum.IntEnum):
    """Numbers of ``TRITONSERVER_Error_Code``."""

    UNKNOWN = 0
    INTERNAL = 1
    NOT_FOUND = 2
    INVALID_ARG = 3
    UNAVAILABLE = 4
    UNSUPPORTED = 5
    ALREADY_EXISTS = 6
    CANCELLED = 7


class TritonError:
    """What went wrong with one request: a message, and a code that decides the status the client sees."""

    UNKNOWN = ErrorCode.UNKNOWN
    INTERNAL = ErrorCode.INTERNAL
    NOT_FOUND = ErrorCode.NOT_FOUND
    INVALID_ARG = ErrorCode.INVALID_ARG
    UNAVAILABLE = ErrorCode.UNAVAILABLE
    UNSUPPORTED = ErrorCode.UNSUPPORTED
    ALREADY_EXISTS = ErrorCode.ALREADY_EXISTS
    CANCELLED = ErrorCode.CANCELLED

    __slots__ = ("_message", "_code")

    def __init__(self, message: str, code: int = ErrorCode.INTERNAL):
        self._message = str(message)
        self._code = ErrorCode(code)

    def message(self) -> str:
        """The text."""
        return self._message

    def code(self) -> ErrorCode:
        """The code; ``INTERNAL`` unless given."""
        return self._code

    def __repr__(self) -> str:
        return f"TritonError({self._message!r}, {self._code.name})"


def error_to_wire(error: TritonError) -> list:
    """``[code name, message]``."""
    return [error.code().name, error.message()]


def error_from_wire(wire: list) -> TritonError:
    """The reverse of :func:`error_to_wire`."""
    return TritonError(wire[1], ErrorCode[wire[0]])
