"""TensorRT plans (``model.plan``), through NVIDIA's Python packages. Not verified on hardware.

Device memory is that of PyTorch tensors; inputs are copied there and outputs back for each execution.
(https://github.com/triton-inference-server/tensorrt_backend)
"""

from __future__ import annotations

import json
import sys
from typing import Mapping

import numpy as np

from ..errors import TritonModelException
from ..session import current
from .batch import run_batch

try:
    import tensorrt as trt
    import torch
except ImportError as error:
    raise TritonModelException(
        f"TensorRT models need the Python packages tensorrt and torch, which {sys.executable} does not have ({error}):"
        f" {sys.executable} -m pip install tensorrt torch"
    ) from None


class TritonPythonModel:
    """One execution context of a plan on one GPU."""

    def initialize(self, args: Mapping[str, str]) -> None:
        config = json.loads(args["model_config"])
        self._device = torch.device("cuda", int(args["model_instance_device_id"]))
        torch.cuda.set_device(self._device)
        built = config.get("parameters", {}).get("tensorrt_version", {}).get("string_value")
        if built is not None and built.split(".")[:2] != trt.__version__.split(".")[:2]:
            raise TritonModelException(
                f"the plan of model '{args['model_name']}' was built with TensorRT {built}, this is {trt.__version__}:"
                " build it again, or install that version"
            )
        with open(current().model_file, "rb") as plan:
            engine = trt.Runtime(trt.Logger(trt.Logger.WARNING)).deserialize_cuda_engine(plan.read())
        if engine is None:
            raise TritonModelException(f"TensorRT cannot read the plan '{current().model_file}'")
        self._engine = engine
        self._context = engine.create_execution_context()
        self._stream = torch.cuda.Stream(self._device)
        self._outputs = [output["name"] for output in config["output"]]
        self._batching = config["max_batch_size"] > 0
        names = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
        for tensor in (*config["input"], *config["output"]):
            if tensor["name"] not in names:
                raise TritonModelException(
                    f"the plan has no tensor '{tensor['name']}', it has: {', '.join(sorted(names))}"
                )

    def execute(self, requests: list) -> list:
        return run_batch(requests, self._batching, self._run)

    def _run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        kept = []
        for name, array in inputs.items():
            tensor = torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
            kept.append(tensor)
            self._context.set_input_shape(name, tuple(array.shape))
            self._context.set_tensor_address(name, tensor.data_ptr())
        results = {}
        for name in self._outputs:
            shape = tuple(self._context.get_tensor_shape(name))
            dtype = np.dtype(trt.nptype(self._engine.get_tensor_dtype(name)))
            results[name] = torch.from_numpy(np.empty(shape, dtype)).to(self._device)
            self._context.set_tensor_address(name, results[name].data_ptr())
        torch.cuda.current_stream(self._device).synchronize()
        if not self._context.execute_async_v3(self._stream.cuda_stream):
            raise RuntimeError("TensorRT could not execute the plan")
        self._stream.synchronize()
        return {name: tensor.cpu().numpy() for name, tensor in results.items()}
