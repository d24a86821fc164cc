"""The text pipeline beside a reference run of the same weights, in NumPy.

Environment: HTTP_URL of a server that test/e2e/text-pipeline.test.ts starts; MINILM, the folder of the weights.
"""

import json
import math
import os
import struct
import unittest

import numpy as np
import transformers
import tritonclient.http as httpclient

TEXTS = [
    "The striker scored twice in the final",
    "Stocks fell as the central bank raised rates, and the euro with them.",
    "Ein naïver Café-Besitzer in Zürich 漢字 😀",
    "x",
    "word " * 600,
]


def read_weights(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    weights = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, end = entry["data_offsets"]
            weights[name] = np.frombuffer(data[start:end], np.float32).reshape(entry["shape"]).astype(np.float64)
    return weights


def encode(weights, ids, heads=12, layers=6):
    """The mean of the last hidden states, of length 1."""
    erf = np.vectorize(math.erf)

    def dense(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x, name):
        centered = x - x.mean(-1, keepdims=True)
        scale = weights[f"{name}.weight"] / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-12)
        return centered * scale + weights[f"{name}.bias"]

    def split(x):
        return x.reshape(len(ids), heads, -1).transpose(1, 0, 2)

    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        q, k, v = (split(dense(x, f"{at}.attention.self.{part}")) for part in ("query", "key", "value"))
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        powers = np.exp(scores - scores.max(-1, keepdims=True))
        attended = ((powers / powers.sum(-1, keepdims=True)) @ v).transpose(1, 0, 2).reshape(len(ids), -1)
        x = norm(dense(attended, f"{at}.attention.output.dense") + x, f"{at}.attention.output.LayerNorm")
        wide = dense(x, f"{at}.intermediate.dense")
        wide = wide * 0.5 * (1 + erf(wide / math.sqrt(2)))
        x = norm(dense(wide, f"{at}.output.dense") + x, f"{at}.output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


class TextPipeline(unittest.TestCase):
    def setUp(self):
        self.client = httpclient.InferenceServerClient(os.environ["HTTP_URL"], network_timeout=120)

    def infer(self, model, name, text):
        value = httpclient.InferInput(name, [1, 1], "BYTES")
        value.set_data_from_numpy(np.array([[text.encode()]], dtype=np.object_))
        return self.client.infer(model, [value])

    def test_tokens_and_numbers(self):
        folder = os.environ["MINILM"]
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        weights = read_weights(os.path.join(folder, "model.safetensors"))
        for text in TEXTS:
            expected = tokenizer(text, truncation=True, max_length=512)["input_ids"]
            for model in ("tokenizer-utf8", "tokenizer-node"):
                ids = self.infer(model, "text", text).as_numpy("input_ids")[0].tolist()
                self.assertEqual(ids, expected, f"{model}: {text[:30]}")
            embedding = self.infer("minilm", "text", text).as_numpy("embedding")[0]
            difference = np.abs(embedding - encode(weights, expected)).max()
            self.assertLess(difference, 1e-4, text[:30])


if __name__ == "__main__":
    unittest.main()
