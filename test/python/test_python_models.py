"""Decoupled Python models and cancellation with the unmodified tritonclient.

Environment: HTTP_URL and GRPC_URL of a server that test/e2e/python-models.test.ts starts.
"""

import json
import os
import queue
import time
import unittest

import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException

HTTP = os.environ.get("HTTP_URL", "")
GRPC = os.environ.get("GRPC_URL", "")


def script(module, actions):
    value = module.InferInput("IN", [1, 1], "BYTES")
    value.set_data_from_numpy(np.array([[json.dumps(actions)]], dtype=np.object_))
    return value


def stream(actions, model="scripted_decoupled", requests=1):
    """Everything that comes back, up to the end of each request or an error."""
    answers = queue.Queue()
    client = grpcclient.InferenceServerClient(GRPC)
    client.start_stream(lambda result, error: answers.put((result, error)))
    for index in range(requests):
        client.async_stream_infer(
            model, [script(grpcclient, actions)], request_id=str(index), enable_empty_final_response=True
        )
    seen = []
    ended = 0
    while ended < requests:
        result, error = answers.get(timeout=20)
        if error is not None:
            seen.append(f"error: {error.message()}")
            # What fails as a whole has no further response.
            ended += "Failed to process" in error.message()
            continue
        final = result.get_response().parameters["triton_final_response"].bool_param
        output = result.as_numpy("OUT")
        if output is not None:
            seen.append(output[0][0].decode())
        ended += final
    client.stop_stream()
    return seen


class Decoupled(unittest.TestCase):
    def test_any_number_of_responses(self):
        self.assertEqual(stream(["final"]), [])
        self.assertEqual(stream(["send_final"]), ["sent last"])
        self.assertEqual(stream(["send", "send", "final"]), ["sent", "sent"])
        self.assertEqual(stream([["later", ["a", "b", "final"]]]), ["a", "b"])

    def test_requests_beside_each_other(self):
        self.assertEqual(sorted(stream([["later", ["a", "b", "final"]]], requests=5)), ["a"] * 5 + ["b"] * 5)

    def test_errors_between_responses(self):
        self.assertEqual(stream(["send", "send_error", "send", "final"]), ["sent", "error: sent error", "sent"])

    def test_errors_at_the_end(self):
        (error,) = stream([["raise", "oops"]])
        self.assertIn("message: ValueError: oops", error)
        sent, error = stream(["send", "return"])
        self.assertEqual(sent, "sent")
        self.assertIn("using the decoupled mode and the execute function must return None.", error)
        # The client has its end by then: nothing more reaches it.
        self.assertEqual(stream(["send_final", "send"]), ["sent last"])

    def test_a_dropped_sender_ends_the_request(self):
        self.assertEqual(stream(["send"]), ["sent"])

    def test_unary_calls(self):
        client = grpcclient.InferenceServerClient(GRPC)
        with self.assertRaisesRegex(InferenceServerException, "doesn't support models with decoupled"):
            client.infer("scripted_decoupled", [script(grpcclient, ["send", "final"])])


class Cancelled(unittest.TestCase):
    def test_the_model_sees_that_the_client_has_gone(self):
        client = grpcclient.InferenceServerClient(GRPC)
        with self.assertRaisesRegex(InferenceServerException, "Deadline Exceeded"):
            client.infer("scripted", [script(grpcclient, [["until_cancelled", 20]])], client_timeout=0.3)
        # The only instance is free again long before the 20 seconds are over.
        started = time.time()
        http = httpclient.InferenceServerClient(HTTP)
        http.infer("scripted", [script(httpclient, ["return"])])
        self.assertLess(time.time() - started, 10)


if __name__ == "__main__":
    unittest.main()
