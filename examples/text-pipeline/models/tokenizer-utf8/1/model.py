"""As ``tokenizer``, for texts in every script: ``astype(str)`` takes bytes for ASCII."""

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
        texts = [pb_utils.get_input_tensor_by_name(request, "text").as_numpy() for request in requests]
        # One call for the whole batch, padded no further than its longest text.
        encoded = self.tokenizer(
            [text.decode("utf-8", "replace") for rows in texts for text in rows],
            padding=True,
            max_length=512,
            truncation=True,
            return_tensors="np",
        )
        responses = []
        start = 0
        for rows in texts:
            part = slice(start, start + len(rows))
            responses.append(
                pb_utils.InferenceResponse(
                    [
                        pb_utils.Tensor(name, encoded[name][part].astype(np.int64))
                        for name in ("input_ids", "attention_mask")
                    ]
                )
            )
            start += len(rows)
        return responses
