import os

import numpy as np
import transformers
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(
            os.path.join(os.path.dirname(__file__), "files")
        )

    def execute(self, requests):
        responses = []
        for request in requests:
            # Extract text input (batched strings)
            input_tensor = pb_utils.get_input_tensor_by_name(request, "text")
            texts = input_tensor.as_numpy().astype(str)

            # Tokenize
            encoded = self.tokenizer(
                list(texts),
                padding="max_length",
                max_length=512,
                truncation=True,
                return_tensors="np",
            )

            # Create output tensors
            input_ids = pb_utils.Tensor("input_ids", encoded["input_ids"].astype(np.int64))
            attention_mask = pb_utils.Tensor("attention_mask", encoded["attention_mask"].astype(np.int64))

            response = pb_utils.InferenceResponse(output_tensors=[input_ids, attention_mask])
            responses.append(response)
        return responses
