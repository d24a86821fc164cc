"""The model of this process: importing it, its life, its executions."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import sys
import threading
import time
from typing import Any

from .channel import Message
from .errors import ContractError, ErrorCode, TritonModelException
from .failure import describe
from .model_config import ModelConfig
from .request import InferenceRequest
from .response import InferenceResponse
from .session import Session
from .tensor import tensors_from_wire

#: What happened to a request: it is open still, or comes once more.
_OPEN = None
_AGAIN = ["a"]


class Model:
    """A user's ``TritonPythonModel``, or that of a framework this package serves."""

    def __init__(self, session: Session):
        self._session = session
        self._class: type | None = None
        self._model: Any = None
        self._instance_name = ""
        self._version = 0
        self._main_loop: asyncio.AbstractEventLoop | None = None

    def load(self, meta: dict[str, Any]) -> dict[str, Any] | None:
        """Imports the model and has it complete its configuration.

        :returns: the completed configuration, ``None`` when the model does not complete it
        """
        session = self._session
        session.model_name = meta["name"]
        session.model_folder = meta["versionPath"]
        session.model_file = meta["file"]
        self._version = meta["version"]
        module = importlib.import_module(meta["module"]) if meta["module"] else _import_file(meta["file"])
        if not hasattr(module, "TritonPythonModel"):
            raise TritonModelException(f"{meta['file']} has no class TritonPythonModel")
        self._class = module.TritonPythonModel
        if not meta["autoComplete"] or not hasattr(self._class, "auto_complete_config"):
            return None
        completed = self._class.auto_complete_config(ModelConfig(meta["config"]))
        if not isinstance(completed, ModelConfig):
            raise TritonModelException(
                f"auto_complete_config function in model '{meta['name']}' must return a valid pb.ModelConfig object."
            )
        return completed.as_dict()

    def initialize(self, meta: dict[str, Any]) -> None:
        """Makes the model's object and calls its ``initialize``."""
        config = meta["config"]
        self._instance_name = meta["args"]["model_instance_name"]
        self._session.output_names = [output["name"] for output in config["output"]]
        self._session.decoupled = bool(config.get("model_transaction_policy", {}).get("decoupled", False))
        self._model = self._class()
        if hasattr(self._model, "initialize"):
            self._model.initialize({**meta["args"], "model_config": json.dumps(config)})
        if not hasattr(self._model, "execute"):
            raise TritonModelException(f"Python model '{self._instance_name}' does not implement `execute` method.")
        self._session.executing = True

    def finalize(self) -> None:
        """Calls the model's ``finalize``, if it has one."""
        if hasattr(self._model, "finalize"):
            self._model.finalize()

    def execute(self, message: Message) -> None:
        """Runs a batch and tells the server what came of it."""
        session = self._session
        start = time.perf_counter_ns()
        requests = [
            InferenceRequest._received(
                wire, tensors_from_wire(wire[8], message.payload, session.inputs), session, self._version
            )
            for wire in message.meta["r"]
        ]
        ready = time.perf_counter_ns()
        parts: list = []
        try:
            returned = self._model.execute(requests)
            if inspect.iscoroutine(returned):
                returned = self._run(returned, requests)
            answered = time.perf_counter_ns()
            results = self._results(requests, returned, parts)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever a model raises is its batch's error)
            answered = time.perf_counter_ns()
            parts = []
            results = self._failed(requests, error)
        end = time.perf_counter_ns()
        times = [ready - start, answered - ready, end - answered]
        session.channel.send({"k": "x", "r": results, "t": times}, parts)

    def _results(self, requests: list[InferenceRequest], returned: Any, parts: list) -> list:
        session = self._session
        name = self._instance_name
        if session.decoupled:
            if returned is not None:
                raise ContractError(
                    f"Python model '{name}' is using the decoupled mode and the execute function must return None."
                )
            returned = [None] * len(requests)
        elif returned is None:
            returned = [None] * len(requests)
        elif not isinstance(returned, list):
            raise ContractError(
                f"Expected a list in the execute return, found type '{type(returned)}'."
            )
        if len(returned) != len(requests):
            raise ContractError(
                "Number of InferenceResponse objects do not match the number of InferenceRequest objects."
                f" InferenceRequest(s) size is:{len(requests)}, and InferenceResponse(s) size is:{len(returned)}\n"
            )
        results = []
        inline = 0
        for request, response in zip(requests, returned):
            wire, inline = self._result(request, response, parts, inline)
            results.append(wire)
        return results

    def _result(self, request: InferenceRequest, response: Any, parts: list, inline: int) -> tuple[list | None, int]:
        sender = request._sender
        if request._rescheduled:
            if response is not None:
                raise ContractError(
                    "Expected a None object in the execute function return list for reschduled request, found type"
                    f" '{type(response)}'."
                )
            sender.closed = True
            return _AGAIN, inline
        if response is None:
            return _OPEN, inline
        if not isinstance(response, InferenceResponse):
            raise ContractError(
                "Expected an 'InferenceResponse' object in the execute function return list, found type"
                f" '{type(response)}'."
            )
        sender._account(response, True)
        wanted = request._outputs
        if any(tensor._name not in wanted for tensor in response._tensors):
            response = InferenceResponse(
                [tensor for tensor in response._tensors if tensor._name in wanted],
                response._error,
                response._parameters,
            )
        return response._to_wire(self._session, parts, inline)

    def _failed(self, requests: list[InferenceRequest], error: BaseException) -> list:
        text = (
            f"Failed to process the request(s) for model '{self._instance_name}', message: {describe(error)}"
        )
        results = []
        for request in requests:
            closed = request._sender.closed and not request._rescheduled
            request._sender.closed = True
            results.append(_OPEN if closed else ["e", ErrorCode.INTERNAL.name, text])
        return results

    def _run(self, coroutine: Any, requests: list[InferenceRequest]) -> Any:
        """Runs ``async def execute``: a decoupled model's in the background, beside further executions."""
        if not self._session.decoupled:
            if self._main_loop is None:
                self._main_loop = asyncio.new_event_loop()
                asyncio.set_event_loop(self._main_loop)
            return self._main_loop.run_until_complete(coroutine)
        asyncio.run_coroutine_threadsafe(self._in_background(coroutine, requests), self._background_loop())
        return None

    async def _in_background(self, coroutine: Any, requests: list[InferenceRequest]) -> None:
        try:
            if await coroutine is not None:
                raise ContractError(
                    f"Python model '{self._instance_name}' is using the decoupled mode and the execute function"
                    " must return None."
                )
        except Exception as error:  # noqa: BLE001 (whatever a model raises is its batch's error)
            for request, wire in zip(requests, self._failed(requests, error)):
                if wire is not None:
                    self._session.channel.send({"k": "s", "u": request._unit, "w": wire, "l": True})

    def _background_loop(self) -> asyncio.AbstractEventLoop:
        session = self._session
        if session.loop is None:
            session.loop = asyncio.new_event_loop()
            threading.Thread(target=session.loop.run_forever, name="goodput-async", daemon=True).start()
        return session.loop


def _import_file(file: str) -> Any:
    """Imports ``REPOSITORY/MODEL/VERSION/NAME.py`` as ``VERSION.NAME``: relative imports work, and plain ones."""
    folder, name = os.path.split(file)
    if not os.path.isfile(file):
        raise TritonModelException(f"Python model file not found in '{file}'")
    if not name.endswith(".py"):
        raise TritonModelException(f"Model name must end with '.py'. Model name is \"{name}\".")
    parent, package = os.path.split(folder)
    sys.path[:0] = [folder, parent]
    module = name[: -len(".py")]
    if not package.replace("_", "").isalnum():
        return importlib.import_module(module)
    return importlib.import_module(f"{package}.{module}")
