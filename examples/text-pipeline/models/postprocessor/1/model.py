"""From logits to ``class (probability)``."""

import numpy as np
import triton_python_backend_utils as pb_utils

CLASSES = ("sports", "technology", "business", "science", "politics", "health")


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            logits = pb_utils.get_input_tensor_by_name(request, "logits").as_numpy()
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            probabilities = powers / powers.sum(axis=1, keepdims=True)
            texts = [[f"{CLASSES[row.argmax()]} ({row.max():.2f})".encode()] for row in probabilities]
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("result", np.array(texts, dtype=np.object_))]))
        return responses
