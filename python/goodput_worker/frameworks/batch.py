"""Requests of one execution as one batch, and its results as their responses."""

from __future__ import annotations

from typing import Callable, Mapping

import numpy as np

from ..errors import TritonError
from ..request import InferenceRequest, get_input_tensor_by_name
from ..response import InferenceResponse
from ..tensor import Tensor

#: From inputs by name to outputs by name.
Run = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


def run_batch(requests: list[InferenceRequest], batching: bool, run: Run) -> list[InferenceResponse]:
    """Runs all requests at once where the model batches, and one by one where it does not.

    The server puts only requests with tensors of the same shape into one execution.
    """
    if not batching or len(requests) == 1:
        return [_alone(request, run) for request in requests]
    rows = [_rows(request) for request in requests]
    names = [tensor.name() for tensor in requests[0].inputs()]
    try:
        outputs = run({name: np.concatenate([_array(request, name) for request in requests]) for name in names})
    except Exception as error:  # noqa: BLE001 (whatever the framework raises is the requests' error)
        return [_failed(error) for _ in requests]
    total = sum(rows)
    for name, array in outputs.items():
        if array.ndim == 0 or array.shape[0] != total:
            text = f"output '{name}' has shape {list(array.shape)}, its batch should have {total} rows"
            return [_failed(ValueError(text)) for _ in requests]
    responses = []
    start = 0
    for count in rows:
        part = slice(start, start + count)
        responses.append(InferenceResponse([Tensor(name, array[part]) for name, array in outputs.items()]))
        start += count
    return responses


def _alone(request: InferenceRequest, run: Run) -> InferenceResponse:
    try:
        outputs = run({tensor.name(): tensor.as_numpy() for tensor in request.inputs()})
    except Exception as error:  # noqa: BLE001 (whatever the framework raises is the request's error)
        return _failed(error)
    return InferenceResponse([Tensor(name, array) for name, array in outputs.items()])


def _array(request: InferenceRequest, name: str) -> np.ndarray:
    tensor = get_input_tensor_by_name(request, name)
    if tensor is None:
        raise ValueError(f"input '{name}' is missing in one request of the batch")
    return tensor.as_numpy()


def _rows(request: InferenceRequest) -> int:
    inputs = request.inputs()
    return inputs[0].shape()[0] if inputs else 1


def _failed(error: Exception) -> InferenceResponse:
    return InferenceResponse([], TritonError(f"{type(error).__name__}: {error}"))
