"""Responses, the senders that models answer with at any time, and the answers of other models."""

from __future__ import annotations

import json
from typing import Any, Iterator, Mapping, Sequence

from .errors import TritonError, TritonModelException, error_from_wire, error_to_wire
from .session import Session
from .tensor import Tensor, tensors_from_wire, tensors_to_wire

TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1


class InferenceResponse:
    """What a request comes to: tensors, or an error, and parameters.

    :param parameters: names to ``bool``, ``int``, ``float`` or ``str``
    """

    __slots__ = ("_tensors", "_error", "_parameters")

    def __init__(
        self,
        output_tensors: Sequence[Tensor] = (),
        error: TritonError | str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ):
        tensors = list(output_tensors)
        for tensor in tensors:
            if tensor is None:
                raise TritonModelException("Output tensor for inference response should not be empty.")
        self._tensors = tensors
        self._error = TritonError(error) if isinstance(error, str) else error
        self._parameters = _checked_parameters(parameters)

    def output_tensors(self) -> list[Tensor]:
        """The tensors; none beside an error."""
        return self._tensors

    def has_error(self) -> bool:
        """Whether the request failed."""
        return self._error is not None

    def error(self) -> TritonError | None:
        """What went wrong, if anything."""
        return self._error

    def parameters(self) -> str:
        """The parameters as a JSON object."""
        return json.dumps(self._parameters, separators=(",", ":"))

    def _to_wire(self, session: Session, parts: list, inline: int) -> tuple[list, int]:
        """``["r", tensors, parameters]`` or ``["e", code, message]``."""
        if self._error is not None:
            return ["e", *error_to_wire(self._error)], inline
        tensors, inline = tensors_to_wire(self._tensors, session.outputs, parts, inline)
        return ["r", tensors, self._parameters], inline


def _checked_parameters(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    if parameters is None:
        return {}
    for name, value in parameters.items():
        if not isinstance(name, str):
            raise TritonModelException(f"Expect parameters keys to have type str, found type {type(name)}")
        if not isinstance(value, (bool, int, float, str)):
            raise TritonModelException(
                f"Expect parameters values to have type bool/int/float/str, found type {type(value)}"
            )
    return dict(parameters)


def get_output_tensor_by_name(inference_response: InferenceResponse, name: str) -> Tensor | None:
    """The output of that name, or ``None``."""
    for tensor in inference_response.output_tensors():
        if tensor.name() == name:
            return tensor
    return None


class InferenceResponseSender:
    """Answers one request: any number of responses of a decoupled model, at any time and from any thread."""

    __slots__ = ("_unit", "_session", "_responses", "closed", "used")

    def __init__(self, unit: int, session: Session):
        self._unit = unit
        self._session = session
        self._responses = 0
        #: Nothing more may be sent.
        self.closed = False
        #: The model asked for this sender.
        self.used = False

    def send(self, response: InferenceResponse | None = None, flags: int = 0) -> None:
        """Sends a response, with ``TRITONSERVER_RESPONSE_COMPLETE_FINAL`` the last one, or only that flag."""
        final = flags == TRITONSERVER_RESPONSE_COMPLETE_FINAL
        if flags not in (0, TRITONSERVER_RESPONSE_COMPLETE_FINAL):
            raise TritonModelException("Unable to send response. Unsupported flag provided.")
        if response is None and not final:
            raise TritonModelException(
                "Inference Response object must be provided when the response flags is set to zero."
            )
        self._account(response, final)
        session = self._session
        parts: list = []
        wire = None if response is None else response._to_wire(session, parts, 0)[0]
        session.channel.send({"k": "s", "u": self._unit, "w": wire, "l": final}, parts)

    def is_cancelled(self) -> bool:
        """Whether the client has gone."""
        if self.closed:
            return False
        answer = self._session.channel.ask({"k": "cancelled", "u": self._unit})
        return bool(answer.meta["v"])

    def _account(self, response: InferenceResponse | None, final: bool) -> None:
        """Counts what is sent.

        :raises TritonModelException: when it must not be
        """
        if self.closed:
            raise TritonModelException("Unable to send response. Response sender has been closed.")
        if not self._session.decoupled:
            if response is not None and self._responses > 0:
                raise TritonModelException(
                    "Unable to send response. Non-decoupled model cannot send more than one response."
                )
            if response is None and final and self._responses == 0:
                raise TritonModelException(
                    "Unable to send response. Non-decoupled model cannot send complete final before sending a"
                    " response."
                )
        if response is not None:
            self._responses += 1
        self.closed = self.closed or final

    def __del__(self) -> None:
        # Nobody can answer any more: the client must not wait for ever.
        if not self.closed:
            self.closed = True
            self._session.channel.post({"k": "s", "u": self._unit, "w": None, "l": True})


class ResponseIterator:
    """The responses of another, decoupled model, as they come; the last may be empty."""

    def __init__(self, question: int, session: Session):
        self._question = question
        self._session = session
        self._done = False

    def __iter__(self) -> Iterator[InferenceResponse]:
        return self

    def __next__(self) -> InferenceResponse:
        if self._done:
            raise StopIteration("Iteration is done for the responses.")
        response, final = receive_response(self._session, self._question)
        if final:
            self._finish()
        return response if response is not None else InferenceResponse([])

    def cancel(self) -> None:
        """Tells the server that no further response is wanted."""
        if not self._done:
            self._session.channel.send({"k": "stop", "n": self._question})

    def _finish(self) -> None:
        self._done = True
        self._session.channel.close(self._question)

    def __del__(self) -> None:
        if not self._done:
            self._session.channel.post({"k": "stop", "n": self._question})
            self._finish()


def receive_response(session: Session, question: int) -> tuple[InferenceResponse | None, bool]:
    """The next response to a request, ``None`` for an end without one; and whether it is the last."""
    message = session.channel.receive(question)
    wire = message.meta["w"]
    final = message.meta["l"]
    if wire is None:
        return None, final
    if wire[0] == "e":
        return InferenceResponse([], error_from_wire(wire[1:])), final
    tensors = tensors_from_wire(wire[1], message.payload, session.inputs)
    return InferenceResponse(tensors, None, wire[2]), final
