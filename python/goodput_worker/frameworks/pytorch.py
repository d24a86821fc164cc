"""TorchScript models (``model.pt``), as Triton's PyTorch backend serves them.

Names of inputs and outputs are ``NAME__INDEX``, or arguments of ``forward`` and keys of the dictionary it returns, or
anything, in the order of the configuration. (https://github.com/triton-inference-server/pytorch_backend)
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any, Mapping

import numpy as np

from ..errors import TritonModelException
from ..session import current
from .batch import run_batch
from .settings import count_setting, switch_setting

try:
    import torch
except ImportError as error:
    raise TritonModelException(
        f"PyTorch models need the Python package torch, which {sys.executable} does not have ({error}):"
        f" {sys.executable} -m pip install torch"
    ) from None

_INDEXED = re.compile(r".*__(\d+)$")


class TritonPythonModel:
    """One TorchScript module on one device."""

    def initialize(self, args: Mapping[str, str]) -> None:
        config = json.loads(args["model_config"])
        gpu = args["model_instance_kind"] == "GPU"
        self._device = torch.device("cuda", int(args["model_instance_device_id"])) if gpu else torch.device("cpu")
        threads = count_setting(config, "INTRA_OP_THREAD_COUNT")
        if threads is not None:
            torch.set_num_threads(threads)
        threads = count_setting(config, "INTER_OP_THREAD_COUNT")
        if threads is not None:
            torch.set_num_interop_threads(threads)
        if switch_setting(config, "DISABLE_OPTIMIZED_EXECUTION", False):
            torch._C._jit_set_profiling_executor(False)
        self._inference_mode = switch_setting(config, "INFERENCE_MODE", True)
        self._batching = config["max_batch_size"] > 0
        file = current().model_file
        try:
            self._module = torch.jit.load(file, map_location=self._device)
        except (RuntimeError, ValueError) as error:
            raise TritonModelException(f"failed to load model '{args['model_name']}': {file}: {error}") from None
        self._module.eval()
        self._arguments = self._module.forward.schema.arguments[1:]
        self._inputs = self._order_inputs(config)
        self._outputs = [output["name"] for output in config["output"]]

    def execute(self, requests: list) -> list:
        return run_batch(requests, self._batching, self._run)

    def _order_inputs(self, config: Mapping[str, Any]) -> list[str]:
        """The inputs in the order in which ``forward`` takes them."""
        names = [tensor["name"] for tensor in config["input"]]
        for control in config.get("sequence_batching", {}).get("control_input", []):
            names.append(control["name"])
        places = [_INDEXED.match(name) for name in names]
        if names and all(places):
            return sorted(names, key=lambda name: int(_INDEXED.match(name).group(1)))
        arguments = [argument.name for argument in self._arguments]
        if all(name in arguments for name in names):
            return sorted(names, key=arguments.index)
        return names

    def _run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = [name for name in self._inputs if name in inputs]
        tensors = [self._argument(position, inputs[name]) for position, name in enumerate(names)]
        with torch.inference_mode(self._inference_mode), torch.set_grad_enabled(False):
            result = self._module(*tensors)
        return {name: tensor.detach().cpu().numpy() for name, tensor in self._by_name(result).items()}

    def _argument(self, position: int, array: np.ndarray) -> Any:
        """A tensor, or the number that ``forward`` wants in its place."""
        kind = str(self._arguments[position].type) if position < len(self._arguments) else "Tensor"
        if kind in ("int", "float", "bool"):
            # One number for the whole batch.
            return array.reshape(-1)[0].item()
        return torch.from_numpy(array).to(self._device)

    def _by_name(self, result: Any) -> dict[str, Any]:
        if isinstance(result, dict):
            missing = [name for name in self._outputs if name not in result]
            if missing:
                raise ValueError(f"the model returned {sorted(result)}, without output '{missing[0]}'")
            return {name: result[name] for name in self._outputs}
        values = list(result) if isinstance(result, (list, tuple)) else [result]
        named = {}
        for position, name in enumerate(self._outputs):
            match = _INDEXED.match(name)
            index = int(match.group(1)) if match else position
            if index >= len(values):
                raise ValueError(f"the model returned {len(values)} tensor(s), none for output '{name}'")
            named[name] = values[index]
        return named
