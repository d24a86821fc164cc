"""TensorFlow SavedModels (``model.savedmodel``), as Triton's TensorFlow backend serves them.

(https://github.com/triton-inference-server/tensorflow_backend)
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Mapping

import numpy as np

from ..data_types import DTYPE_OF_WIRE
from ..errors import TritonModelException
from ..model_config import ModelConfig
from ..session import current
from .batch import run_batch
from .settings import count_setting, text_setting

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

try:
    import tensorflow as tf
except ImportError as error:
    raise TritonModelException(
        f"TensorFlow models need the Python package tensorflow-cpu (or tensorflow), which {sys.executable} does not"
        f" have ({error}): {sys.executable} -m pip install tensorflow-cpu"
    ) from None

#: ``max_batch_size`` of a completed model that can batch.
_DEFAULT_MAX_BATCH_SIZE = 4


class TritonPythonModel:
    """One signature of a SavedModel."""

    @staticmethod
    def auto_complete_config(config: ModelConfig) -> ModelConfig:
        """Takes inputs, outputs and batching from the signature where the configuration has none."""
        settings = config.as_dict()
        _, signature = _load(settings)
        inputs = signature.structured_input_signature[1]
        outputs = signature.structured_outputs
        shapes = [spec.shape for spec in (*inputs.values(), *outputs.values())]
        batches = bool(shapes) and all(shape.rank is not None and shape.rank > 0 and shape[0] is None for shape in shapes)
        if not settings["input"] and not settings["output"] and settings["max_batch_size"] == 0 and batches:
            config.set_max_batch_size(_DEFAULT_MAX_BATCH_SIZE)
            if "sequence_batching" not in settings:
                config.set_dynamic_batching()
        batching = settings["max_batch_size"] > 0
        if not settings["input"]:
            for name, spec in inputs.items():
                config.add_input(_described(name, spec, batching))
        if not settings["output"]:
            for name, spec in outputs.items():
                config.add_output(_described(name, spec, batching))
        return config

    def initialize(self, args: Mapping[str, str]) -> None:
        config = json.loads(args["model_config"])
        threads = count_setting(config, "TF_NUM_INTRA_THREADS")
        if threads is not None:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        threads = count_setting(config, "TF_NUM_INTER_THREADS")
        if threads is not None:
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        # The signature needs its model alive.
        self._saved, self._signature = _load(config)
        self._specs = self._signature.structured_input_signature[1]
        known = set(self._signature.structured_outputs)
        self._outputs = [output["name"] for output in config["output"]]
        for kind, names, there in (
            ("input", [tensor["name"] for tensor in config["input"]], set(self._specs)),
            ("output", self._outputs, known),
        ):
            for name in names:
                if name not in there:
                    raise TritonModelException(
                        f"unexpected inference {kind} '{name}', allowed {kind}s are: {', '.join(sorted(there))}"
                    )
        self._batching = config["max_batch_size"] > 0

    def execute(self, requests: list) -> list:
        return run_batch(requests, self._batching, self._run)

    def _run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = {name: tf.constant(array, dtype=self._specs[name].dtype) for name, array in inputs.items()}
        results = self._signature(**tensors)
        return {name: results[name].numpy() for name in self._outputs}


def _load(config: Mapping[str, Any]) -> tuple[Any, Any]:
    folder = current().model_file
    if config.get("platform") == "tensorflow_graphdef":
        raise TritonModelException(
            f"model '{config['name']}' is a GraphDef, which TensorFlow 2 does not load: save it as a SavedModel"
        )
    tag = text_setting(config, "TF_GRAPH_TAG", "")
    name = text_setting(config, "TF_SIGNATURE_DEF", "serving_default")
    try:
        saved = tf.saved_model.load(folder, tags=[tag] if tag else None)
    except (OSError, RuntimeError, ValueError) as error:
        raise TritonModelException(f"failed to load model '{config['name']}': {folder}: {error}") from None
    signatures = saved.signatures
    if name not in signatures:
        raise TritonModelException(
            f"model '{config['name']}' has no signature '{name}', it has: {', '.join(sorted(signatures)) or 'none'}"
        )
    return saved, signatures[name]


def _described(name: str, spec: Any, batching: bool) -> dict[str, Any]:
    if spec.shape.rank is None:
        raise TritonModelException(f"tensor '{name}' has no known rank: the configuration must give its dims")
    dims = [-1 if dim is None else int(dim) for dim in spec.shape]
    return {"name": name, "data_type": _config_type(spec.dtype), "dims": (dims[1:] if batching else dims) or [1]}


def _config_type(dtype: Any) -> str:
    if dtype == tf.string:
        return "TYPE_STRING"
    if dtype == tf.bfloat16:
        return "TYPE_BF16"
    wanted = np.dtype(dtype.as_numpy_dtype)
    for wire, known in DTYPE_OF_WIRE.items():
        if known == wanted and wire != "BF16":
            return f"TYPE_{wire}"
    raise TritonModelException(f"TensorFlow type {dtype.name} has no data type of the server")
