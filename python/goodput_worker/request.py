"""Requests: those that the model gets, and those that it makes to other models (business logic scripting)."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
from typing import Any, Mapping, Sequence

from .errors import TritonModelException
from .response import InferenceResponse, InferenceResponseSender, ResponseIterator, receive_response
from .session import Session, current
from .tensor import Tensor, tensors_to_wire

TRITONSERVER_REQUEST_FLAG_SEQUENCE_START = 1
TRITONSERVER_REQUEST_FLAG_SEQUENCE_END = 2
TRITONSERVER_REQUEST_RELEASE_ALL = 1
TRITONSERVER_REQUEST_RELEASE_RESCHEDULE = 2

TRITONSERVER_MEMORY_CPU = 0
TRITONSERVER_MEMORY_GPU = 1

#: Requests to other models that may wait side by side in ``async_exec``.
_PARALLEL_REQUESTS = 64
_pool: concurrent.futures.ThreadPoolExecutor | None = None


class PreferredMemory:
    """Where outputs of other models should lie. They come in host memory, whatever is asked for."""

    def __init__(self, preferred_memory_type: int, preferred_device_id: int = 0):
        self.preferred_memory_type = preferred_memory_type
        self.preferred_device_id = preferred_device_id


class InferenceTrace:
    """The trace of a request, to be handed to requests that are made for it."""

    def __init__(self, context: str | None = None):
        self._context = context

    def get_context(self) -> str | None:
        """The W3C trace context; ``None`` where there is none."""
        return self._context


class InferenceRequest:
    """A request.

    Models construct one to ask another model; ``exec`` and ``async_exec`` send it.

    :param requested_output_names: empty for all outputs
    :param correlation_id: of the sequence it belongs to, an integer or a text; 0 for none
    :param model_version: -1 for the server's choice
    :param timeout: microseconds it may wait in the queue, 0 for the model's own policy
    """

    __slots__ = (
        "_id",
        "_correlation",
        "_outputs",
        "_inputs",
        "_model",
        "_version",
        "_flags",
        "_timeout",
        "_memory",
        "_trace",
        "_parameters",
        "_unit",
        "_sender",
        "_release",
    )

    def __init__(
        self,
        request_id: str = "",
        correlation_id: int | str = 0,
        inputs: Sequence[Tensor] = (),
        requested_output_names: Sequence[str] = (),
        model_name: str = "",
        model_version: int = -1,
        flags: int = 0,
        timeout: int = 0,
        preferred_memory: PreferredMemory | None = None,
        trace: InferenceTrace | None = None,
        parameters: Mapping[str, Any] | None = None,
    ):
        for tensor in inputs:
            if tensor is None:
                raise TritonModelException(
                    f"Input tensor for request with id '{request_id}' and model name '{model_name}' should not be"
                    " empty."
                )
        for name in requested_output_names:
            if name == "":
                raise TritonModelException(
                    f"Requested output name for request with id '{request_id}' and model name '{model_name}' should"
                    " not be empty."
                )
        if not isinstance(correlation_id, (int, str)):
            raise TritonModelException("Correlation ID must be integer or string")
        self._model = model_name
        self._version = model_version
        self._outputs = list(requested_output_names)
        self._inputs = list(inputs)
        self._id = request_id
        self._correlation = correlation_id
        self._flags = flags
        self._timeout = timeout
        self._memory = preferred_memory
        self._trace = trace
        self._parameters = dict(parameters) if parameters else None
        self._unit = 0
        self._sender: InferenceResponseSender | None = None
        self._release = TRITONSERVER_REQUEST_RELEASE_ALL

    @classmethod
    def _received(cls, wire: list, inputs: list[Tensor], session: Session, version: int) -> "InferenceRequest":
        request = cls.__new__(cls)
        (
            request._unit,
            request._id,
            request._correlation,
            request._flags,
            request._timeout,
            request._parameters,
            request._outputs,
            trace,
            _,
        ) = wire
        request._outputs = request._outputs or session.output_names
        request._inputs = inputs
        request._model = session.model_name
        request._version = version
        request._memory = None
        request._trace = InferenceTrace(trace)
        request._sender = InferenceResponseSender(request._unit, session)
        request._release = TRITONSERVER_REQUEST_RELEASE_ALL
        return request

    def inputs(self) -> list[Tensor]:
        """The inputs; optional ones that the client left out are not among them."""
        return self._inputs

    def request_id(self) -> str:
        """The client's id of the request; empty for none."""
        return self._id

    def correlation_id(self) -> int | str:
        """The sequence's id; 0 for none."""
        return self._correlation

    def requested_output_names(self) -> list[str]:
        """The outputs that the client wants."""
        return self._outputs

    def model_name(self) -> str:
        """The model that it is for."""
        return self._model

    def model_version(self) -> int:
        """The version that it is for."""
        return self._version

    def flags(self) -> int:
        """``TRITONSERVER_REQUEST_FLAG_SEQUENCE_START`` and ``..._END``."""
        return self._flags

    def set_flags(self, flags: int) -> None:
        """See :meth:`flags`."""
        self._flags = flags

    def timeout(self) -> int:
        """Microseconds; 0 for none."""
        return self._timeout

    def parameters(self) -> str:
        """The parameters as a JSON object, an empty text for none."""
        return json.dumps(self._parameters, separators=(",", ":")) if self._parameters else ""

    def preferred_memory(self) -> PreferredMemory | None:
        """What the constructor got."""
        return self._memory

    def trace(self) -> InferenceTrace | None:
        """The trace that it belongs to."""
        return self._trace

    def get_response_sender(self) -> InferenceResponseSender:
        """What answers the request; works for models that are not decoupled, too."""
        if self._sender is None:
            raise TritonModelException("a request that this model made has no response sender")
        self._sender.used = True
        return self._sender

    def is_cancelled(self) -> bool:
        """Whether the client has gone."""
        return self._sender.is_cancelled() if self._sender is not None else False

    def set_release_flags(self, flags: int) -> None:
        """``TRITONSERVER_REQUEST_RELEASE_RESCHEDULE`` has ``execute`` called with the request once more."""
        if flags not in (TRITONSERVER_REQUEST_RELEASE_ALL, TRITONSERVER_REQUEST_RELEASE_RESCHEDULE):
            raise TritonModelException(f"Unable to set release flags. Unsupported flag provided: {flags}")
        self._release = flags

    @property
    def _rescheduled(self) -> bool:
        return self._release == TRITONSERVER_REQUEST_RELEASE_RESCHEDULE

    def exec(self, decoupled: bool = False) -> InferenceResponse | ResponseIterator:
        """Sends the request and waits.

        :param decoupled: returns an iterator over any number of responses instead of the one response
        :raises TritonModelException: outside ``execute``
        """
        session = current()
        if not session.executing:
            raise TritonModelException("BLS is only supported during the 'execute' function.")
        parts: list = []
        tensors, _ = tensors_to_wire(self._inputs, session.outputs, parts, 0)
        trace = self._trace.get_context() if self._trace else None
        question = session.channel.open(
            {
                "k": "infer",
                "m": self._model,
                "v": self._version,
                "i": self._id,
                # As text: sequence ids go up to 2^64 - 1.
                "c": [isinstance(self._correlation, str), str(self._correlation)],
                "g": self._flags,
                "t": self._timeout,
                "p": self._parameters or {},
                "o": self._outputs,
                "x": tensors,
                "d": decoupled,
                "r": trace,
            },
            parts,
        )
        if decoupled:
            return ResponseIterator(question, session)
        try:
            response, final = receive_response(session, question)
            return response if response is not None else InferenceResponse([])
        finally:
            session.channel.close(question)

    async def async_exec(self, decoupled: bool = False) -> InferenceResponse | ResponseIterator:
        """As :meth:`exec`, without blocking the event loop."""
        global _pool
        if _pool is None:
            _pool = concurrent.futures.ThreadPoolExecutor(_PARALLEL_REQUESTS, "goodput-bls")
        return await asyncio.get_running_loop().run_in_executor(_pool, self.exec, decoupled)


def get_input_tensor_by_name(inference_request: InferenceRequest, name: str) -> Tensor | None:
    """The input of that name, or ``None``."""
    for tensor in inference_request._inputs:
        if tensor._name == name:
            return tensor
    return None
