"""Sequences, decoupled models, restricted calls, TLS and trace settings with the unmodified tritonclient.

Environment: HTTP_URL and GRPC_URL of a server that test/e2e/orchestration.test.ts starts; CERTS for TLS.
"""

import asyncio
import os
import queue
import time
import unittest

import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.grpc.aio as grpcaio
import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException

HTTP = os.environ.get("HTTP_URL", "")
GRPC = os.environ.get("GRPC_URL", "")


def tensor(module, name, values, shape=None):
    data = np.array(values, dtype=np.int32).reshape(shape or [len(values)])
    value = module.InferInput(name, list(data.shape), "INT32")
    value.set_data_from_numpy(data)
    return value


class Sequences(unittest.TestCase):
    def test_sums_over_http(self):
        client = httpclient.InferenceServerClient(HTTP)
        for sequence in (1001, "text-id"):
            sums = []
            for index, value in enumerate([1, 2, 3]):
                result = client.infer(
                    "acc",
                    [tensor(httpclient, "INPUT", [value], [1, 1])],
                    sequence_id=sequence,
                    sequence_start=index == 0,
                    sequence_end=index == 2,
                )
                sums.append(int(result.as_numpy("OUTPUT")[0][0]))
            self.assertEqual(sums, [1, 3, 6])

    def test_interleaved_on_one_grpc_stream(self):
        client = grpcclient.InferenceServerClient(GRPC)
        results = queue.Queue()
        client.start_stream(lambda result, error: results.put((result, error)))
        for step in range(4):
            for sequence in (11, 12, 13):
                client.async_stream_infer(
                    "acc",
                    [tensor(grpcclient, "INPUT", [sequence], [1, 1])],
                    request_id=f"{sequence}:{step}",
                    sequence_id=sequence,
                    sequence_start=step == 0,
                    sequence_end=step == 3,
                )
        sums = {}
        for _ in range(12):
            result, error = results.get(timeout=10)
            self.assertIsNone(error)
            sums.setdefault(result.get_response().id.split(":")[0], []).append(int(result.as_numpy("OUTPUT")[0][0]))
        client.stop_stream()
        self.assertEqual(sums, {str(s): [s, 2 * s, 3 * s, 4 * s] for s in (11, 12, 13)})

    def test_missing_start_and_id(self):
        client = grpcclient.InferenceServerClient(GRPC)
        inputs = [tensor(grpcclient, "INPUT", [1], [1, 1])]
        with self.assertRaisesRegex(InferenceServerException, "must specify a non-zero or non-empty correlation ID"):
            client.infer("acc", inputs)
        with self.assertRaisesRegex(InferenceServerException, "must specify the START flag on the first request"):
            client.infer("acc", inputs, sequence_id=5)


class Decoupled(unittest.TestCase):
    def stream(self, values, **kwargs):
        client = grpcclient.InferenceServerClient(GRPC)
        results = queue.Queue()
        client.start_stream(lambda result, error: results.put((result, error)))
        client.async_stream_infer("repeat", [tensor(grpcclient, "IN", values)], request_id="r", **kwargs)
        got = []
        while True:
            result, error = results.get(timeout=10)
            self.assertIsNone(error)
            response = result.get_response()
            final = response.parameters.get("triton_final_response")
            if response.outputs:
                got.append(int(result.as_numpy("OUT")[0]))
            if final is not None and final.bool_param:
                break
            if final is None and len(got) == len(values):
                break
        client.stop_stream()
        return got

    def test_one_to_many_with_the_final_flag(self):
        self.assertEqual(self.stream([4, 5, 6], enable_empty_final_response=True), [4, 5, 6])

    def test_one_to_none(self):
        self.assertEqual(self.stream([], enable_empty_final_response=True), [])

    def test_without_the_flag_there_are_only_responses(self):
        self.assertEqual(self.stream([7, 8]), [7, 8])

    def test_unary_calls_are_refused(self):
        with self.assertRaisesRegex(InferenceServerException, "ModelInfer RPC doesn't support models with decoupled"):
            grpcclient.InferenceServerClient(GRPC).infer("repeat", [tensor(grpcclient, "IN", [1])])
        with self.assertRaisesRegex(InferenceServerException, "HTTP end point doesn't support models with decoupled"):
            httpclient.InferenceServerClient(HTTP).infer("repeat", [tensor(httpclient, "IN", [1])])

    def test_response_statistics(self):
        self.stream([1, 2])
        stats = grpcclient.InferenceServerClient(GRPC).get_inference_statistics("repeat", as_json=True)
        responses = stats["model_stats"][0]["response_stats"]
        self.assertIn("success", responses["0"])
        self.assertIn("empty_response", responses["2"])


class Cancellation(unittest.TestCase):
    def waiting(self):
        client = httpclient.InferenceServerClient(HTTP)
        text = client.get_inference_statistics("slow")["model_stats"][0]
        return text["inference_stats"]["fail"]["count"]

    def test_asyncio_call_that_is_cancelled(self):
        before = self.waiting()

        async def main():
            client = grpcaio.InferenceServerClient(GRPC)
            inputs = [tensor(grpcclient, "INPUT0", [1], [1, 1])]
            running = asyncio.create_task(client.infer("slow", inputs))
            await asyncio.sleep(0.1)
            waiting = asyncio.create_task(client.infer("slow", inputs))
            await asyncio.sleep(0.1)
            waiting.cancel()
            await running
            await client.close()

        asyncio.run(main())
        self.assertEqual(self.waiting(), before + 1)

    def test_client_timeout(self):
        before = self.waiting()
        client = grpcclient.InferenceServerClient(GRPC)
        inputs = [tensor(grpcclient, "INPUT0", [1], [1, 1])]
        results = queue.Queue()
        client.async_infer("slow", inputs, lambda result, error: results.put(error))
        time.sleep(0.1)
        with self.assertRaisesRegex(InferenceServerException, "Deadline Exceeded"):
            client.infer("slow", inputs, client_timeout=0.1)
        self.assertIsNone(results.get(timeout=10))
        self.assertEqual(self.waiting(), before + 1)


class Restricted(unittest.TestCase):
    def test_grpc_wants_the_key(self):
        client = grpcclient.InferenceServerClient(GRPC)
        with self.assertRaisesRegex(
            InferenceServerException, "This protocol is restricted, expecting header 'triton-grpc-protocol-key'"
        ):
            client.get_inference_statistics()
        client.get_inference_statistics(headers={"triton-grpc-protocol-key": "secret"})
        self.assertTrue(client.is_server_live())

    def test_http_wants_the_key(self):
        client = httpclient.InferenceServerClient(HTTP)
        with self.assertRaisesRegex(InferenceServerException, "This API is restricted, expecting header 'key'"):
            client.get_inference_statistics()
        client.get_inference_statistics(headers={"key": "secret"})
        self.assertTrue(client.is_server_live())


class Tls(unittest.TestCase):
    def test_server_certificate(self):
        certs = os.environ["CERTS"]
        client = grpcclient.InferenceServerClient(GRPC, ssl=True, root_certificates=f"{certs}/ca.crt")
        self.assertTrue(client.is_server_live())
        with self.assertRaises(InferenceServerException):
            grpcclient.InferenceServerClient(GRPC).is_server_live(client_timeout=5)

    def test_mutual(self):
        certs = os.environ["CERTS"]
        client = grpcclient.InferenceServerClient(
            GRPC,
            ssl=True,
            root_certificates=f"{certs}/ca.crt",
            private_key=f"{certs}/client.key",
            certificate_chain=f"{certs}/client.crt",
        )
        self.assertTrue(client.is_server_live())
        with self.assertRaises(InferenceServerException):
            grpcclient.InferenceServerClient(GRPC, ssl=True, root_certificates=f"{certs}/ca.crt").is_server_live(
                client_timeout=5
            )


class Settings(unittest.TestCase):
    def test_trace_settings(self):
        for module, url in ((httpclient, HTTP), (grpcclient, GRPC)):
            client = module.InferenceServerClient(url)
            changed = client.update_trace_settings("acc", {"trace_level": ["TIMESTAMPS"], "trace_rate": "5"})
            reset = client.update_trace_settings("acc", {"trace_level": None, "trace_rate": None})
            if module is grpcclient:
                changed = {name: list(value.value) for name, value in changed.settings.items()}
                reset = {name: list(value.value) for name, value in reset.settings.items()}
                self.assertEqual((changed["trace_rate"], reset["trace_rate"]), (["5"], ["1000"]))
            else:
                self.assertEqual((changed["trace_rate"], reset["trace_rate"]), ("5", "1000"))
            self.assertEqual(changed["trace_level"], ["TIMESTAMPS"])
            self.assertEqual(reset["trace_level"], ["OFF"])
            with self.assertRaisesRegex(InferenceServerException, "unknown model"):
                client.update_trace_settings("nothing", {"trace_rate": "5"})


if __name__ == "__main__":
    unittest.main()
