"""The unmodified tritonclient against a running server: HTTP, gRPC, asyncio; sync, async, streaming.

Environment: HTTP_URL, GRPC_URL of a server on the repository that test/e2e/tritonclient.test.ts makes.
"""

import asyncio
import os
import queue
import unittest

import ml_dtypes
import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.grpc.aio as grpcaio
import tritonclient.http as httpclient
import tritonclient.http.aio as httpaio
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

HTTP = os.environ["HTTP_URL"]
GRPC = os.environ["GRPC_URL"]
PROTOCOLS = (("http", httpclient, HTTP), ("grpc", grpcclient, GRPC))

A = np.arange(16, dtype=np.int32).reshape(1, 16)
B = np.full((1, 16), 3, dtype=np.int32)


def tensor(module, name, data, **kwargs):
    kind = np_to_triton_dtype(data.dtype)
    value = module.InferInput(name, list(data.shape), kind)
    value.set_data_from_numpy(data, **kwargs)
    return value


def simple_inputs(module, **kwargs):
    return [tensor(module, "INPUT0", A, **kwargs), tensor(module, "INPUT1", B, **kwargs)]


class Status(unittest.TestCase):
    def test_health_and_metadata(self):
        for name, module, url in PROTOCOLS:
            with self.subTest(name), module.InferenceServerClient(url) as client:
                self.assertTrue(client.is_server_live())
                self.assertTrue(client.is_server_ready())
                self.assertTrue(client.is_model_ready("simple"))
                self.assertTrue(client.is_model_ready("simple", "1"))
                self.assertFalse(client.is_model_ready("nope"))
                kwargs = {"as_json": True} if name == "grpc" else {}
                self.assertEqual(client.get_server_metadata(**kwargs)["name"], "triton")
                metadata = client.get_model_metadata("simple", **kwargs)
                self.assertEqual(metadata["name"], "simple")
                self.assertEqual([int(dim) for dim in metadata["inputs"][0]["shape"]], [-1, 16])
                config = client.get_model_config("simple", **kwargs)
                config = config.get("config", config)
                self.assertEqual(config["max_batch_size"], 8)

    def test_statistics_count_requests_and_batches(self):
        for name, module, url in PROTOCOLS:
            with self.subTest(name), module.InferenceServerClient(url) as client:
                kwargs = {"as_json": True} if name == "grpc" else {}
                read = lambda: client.get_inference_statistics("simple_string", **kwargs)["model_stats"][0]
                before = int(read().get("inference_count", 0))
                text = np.array([[str(i).encode() for i in range(16)]] * 2, dtype=np.object_)
                client.infer("simple_string", [tensor(module, "INPUT0", text), tensor(module, "INPUT1", text)])
                after = read()
                self.assertEqual(int(after["inference_count"]) - before, 2)
                self.assertGreater(int(after["inference_stats"]["success"]["ns"]), 0)

    def test_unknown_model(self):
        for name, module, url in PROTOCOLS:
            with self.subTest(name), module.InferenceServerClient(url) as client:
                with self.assertRaisesRegex(InferenceServerException, "Request for unknown model: 'nope' is not found"):
                    client.get_model_metadata("nope")
                with self.assertRaisesRegex(InferenceServerException, "Request for unknown model: 'nope' is not found"):
                    client.infer("nope", simple_inputs(module))


class Inference(unittest.TestCase):
    def check(self, result):
        np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), A + B)
        np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), A - B)

    def test_binary_and_json_tensors(self):
        with httpclient.InferenceServerClient(HTTP) as client:
            for binary_in in (True, False):
                for binary_out in (True, False):
                    with self.subTest(f"{binary_in} {binary_out}"):
                        outputs = [httpclient.InferRequestedOutput(n, binary_data=binary_out) for n in ("OUTPUT0", "OUTPUT1")]
                        inputs = simple_inputs(httpclient, binary_data=binary_in)
                        self.check(client.infer("simple", inputs, outputs=outputs))
            mixed = [tensor(httpclient, "INPUT0", A, binary_data=True), tensor(httpclient, "INPUT1", B, binary_data=False)]
            outputs = [httpclient.InferRequestedOutput("OUTPUT0", binary_data=False), httpclient.InferRequestedOutput("OUTPUT1")]
            self.check(client.infer("simple", mixed, outputs=outputs))

    def test_no_requested_outputs_returns_all(self):
        for name, module, url in PROTOCOLS:
            with self.subTest(name), module.InferenceServerClient(url) as client:
                self.check(client.infer("simple", simple_inputs(module), request_id="my-id"))
                result = client.infer("simple", simple_inputs(module), request_id="my-id")
                response = result.get_response()
                self.assertEqual(response["id"] if name == "http" else response.id, "my-id")

    def test_compression_both_ways(self):
        with httpclient.InferenceServerClient(HTTP) as client:
            for request in (None, "gzip", "deflate"):
                for response in (None, "gzip", "deflate"):
                    with self.subTest(f"{request} {response}"):
                        self.check(client.infer("simple", simple_inputs(httpclient), request_compression_algorithm=request,
                                                response_compression_algorithm=response))
        with grpcclient.InferenceServerClient(GRPC) as client:
            for algorithm in ("gzip", "deflate"):
                self.check(client.infer("simple", simple_inputs(grpcclient), compression_algorithm=algorithm))

    def test_async(self):
        with httpclient.InferenceServerClient(HTTP, concurrency=4) as client:
            pending = [client.async_infer("simple", simple_inputs(httpclient)) for _ in range(20)]
            for each in pending:
                self.check(each.get_result())
        with grpcclient.InferenceServerClient(GRPC) as client:
            done = queue.Queue()
            for _ in range(20):
                client.async_infer("simple", simple_inputs(grpcclient), lambda result, error: done.put((result, error)))
            for _ in range(20):
                result, error = done.get(timeout=20)
                self.assertIsNone(error)
                self.check(result)

    def test_asyncio(self):
        async def run():
            async with httpaio.InferenceServerClient(HTTP) as client:
                self.assertTrue(await client.is_server_ready())
                for result in await asyncio.gather(*[client.infer("simple", simple_inputs(httpclient)) for _ in range(10)]):
                    self.check(result)
            async with grpcaio.InferenceServerClient(GRPC) as client:
                for result in await asyncio.gather(*[client.infer("simple", simple_inputs(grpcclient)) for _ in range(10)]):
                    self.check(result)

        asyncio.run(run())

    def test_streaming(self):
        with grpcclient.InferenceServerClient(GRPC) as client:
            done = queue.Queue()
            client.start_stream(lambda result, error: done.put((result, error)))
            for index in range(10):
                client.async_stream_infer("simple", simple_inputs(grpcclient), request_id=str(index))
            ids = set()
            for _ in range(10):
                result, error = done.get(timeout=20)
                self.assertIsNone(error)
                self.check(result)
                ids.add(result.get_response().id)
            self.assertEqual(ids, {str(index) for index in range(10)})
            client.async_stream_infer("nope", simple_inputs(grpcclient))
            _, error = done.get(timeout=20)
            self.assertIn("Request for unknown model: 'nope' is not found", str(error))
            client.async_stream_infer("simple", simple_inputs(grpcclient), enable_empty_final_response=True)
            result, error = done.get(timeout=20)
            self.assertTrue(result.get_response().parameters["triton_final_response"].bool_param)
            client.stop_stream()

    def test_every_data_type(self):
        values = {
            "bool": np.array([[True, False]]), "uint8": np.array([[0, 255]], np.uint8), "uint16": np.array([[0, 65535]], np.uint16),
            "uint32": np.array([[0, 2**32 - 1]], np.uint32), "uint64": np.array([[0, 2**64 - 1]], np.uint64),
            "int8": np.array([[-128, 127]], np.int8), "int16": np.array([[-32768, 32767]], np.int16),
            "int32": np.array([[-(2**31), 2**31 - 1]], np.int32), "int64": np.array([[-(2**63), 2**63 - 1]], np.int64),
            "fp16": np.array([[0.5, -2]], np.float16), "fp32": np.array([[0.1, -np.inf]], np.float32),
            "fp64": np.array([[0.1, 1e300]], np.float64), "bytes": np.array([[b"\x00\xff", "é".encode()]], np.object_),
        }
        for kind, value in values.items():
            for name, module, url in PROTOCOLS:
                for model in (f"identity_{kind}", f"onnx_{kind}"):
                    if model == "onnx_bytes":
                        value = np.array([[b"plain", "é".encode()]], np.object_)
                    with self.subTest(f"{model} {name}"), module.InferenceServerClient(url) as client:
                        result = client.infer(model, [tensor(module, "INPUT0", value)])
                        np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), value)

    def test_bf16(self):
        value = np.array([[1.5, -2.0]], ml_dtypes.bfloat16)
        for name, module, url in PROTOCOLS:
            with self.subTest(name), module.InferenceServerClient(url) as client:
                given = module.InferInput("INPUT0", [1, 2], "BF16")
                given.set_data_from_numpy(value)
                np.testing.assert_array_equal(client.infer("identity_bf16", [given]).as_numpy("OUTPUT0"), value)

    def test_zero_size_and_variable_dimensions(self):
        for name, module, url in PROTOCOLS:
            with module.InferenceServerClient(url) as client:
                for width in (0, 1, 1000):
                    with self.subTest(f"{name} {width}"):
                        value = np.arange(2 * width, dtype=np.float32).reshape(2, width)
                        result = client.infer("identity_fp32", [tensor(module, "INPUT0", value)])
                        np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), value)

    def test_classification(self):
        for name, module, url in PROTOCOLS:
            with self.subTest(name), module.InferenceServerClient(url) as client:
                outputs = [module.InferRequestedOutput("OUTPUT0", class_count=2)]
                result = client.infer("simple", simple_inputs(module), outputs=outputs)
                self.assertEqual(result.as_numpy("OUTPUT0").tolist(), [[b"18:15", b"17:14"]])

    def test_request_parameters(self):
        for name, module, url in PROTOCOLS:
            with self.subTest(name), module.InferenceServerClient(url) as client:
                self.check(client.infer("simple", simple_inputs(module), parameters={"k": "v", "n": 3, "b": True}))
                self.check(client.infer("simple", simple_inputs(module), priority=1, timeout=1000000))

    def test_large_tensor(self):
        value = np.random.default_rng(0).random((1, 4 * 1024 * 1024), dtype=np.float32)
        for name, module, url in PROTOCOLS:
            for model in ("identity_fp32", "onnx_fp32"):
                with self.subTest(f"{name} {model}"), module.InferenceServerClient(url) as client:
                    result = client.infer(model, [tensor(module, "INPUT0", value)])
                    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), value)

    def test_raw_binary_request(self):
        with httpclient.InferenceServerClient(HTTP) as client:
            data = np.array([1, 2, 3], np.float32)
            response = client._post("v2/models/identity_fp32/infer", data.tobytes(), {"Inference-Header-Content-Length": "0"}, None)
            self.assertEqual(response.status_code, 200)

    def test_mistakes_are_errors_and_the_next_request_works(self):
        for name, module, url in PROTOCOLS:
            with module.InferenceServerClient(url) as client:
                wrong = module.InferInput("INPUT0", [1, 16], "FP32")
                wrong.set_data_from_numpy(A.astype(np.float32))
                short = [tensor(module, "INPUT0", A[:, :8]), tensor(module, "INPUT1", B[:, :8])]
                cases = (
                    ([wrong, tensor(module, "INPUT1", B)], "data-type is 'FP32', but model 'simple' expects 'INT32'"),
                    (short, "unexpected shape for input 'INPUT0' for model 'simple'"),
                    ([tensor(module, "INPUT0", A)], "missing required input"),
                    ([tensor(module, "NO", A)], "unexpected inference input 'NO' for model 'simple'"),
                    ([tensor(module, "INPUT0", np.repeat(A, 9, 0)), tensor(module, "INPUT1", np.repeat(B, 9, 0))],
                     "inference request batch-size must be <= 8 for 'simple'"),
                )
                for inputs, message in cases:
                    with self.subTest(f"{name} {message}"):
                        with self.assertRaisesRegex(InferenceServerException, message):
                            client.infer("simple", inputs)
                self.check(client.infer("simple", simple_inputs(module)))

    def test_versions(self):
        for name, module, url in PROTOCOLS:
            with self.subTest(name), module.InferenceServerClient(url) as client:
                self.check(client.infer("simple", simple_inputs(module), model_version="1"))
                self.check(client.infer("simple:1", simple_inputs(module)))
                with self.assertRaisesRegex(InferenceServerException, "'simple' version 9 is not found"):
                    client.infer("simple", simple_inputs(module), model_version="9")


class SharedMemory(unittest.TestCase):
    def test_inputs_and_outputs_in_system_shared_memory(self):
        for name, module, url in PROTOCOLS:
            with self.subTest(name), module.InferenceServerClient(url) as client:
                client.unregister_system_shared_memory()
                key = f"/goodput_test_{os.getpid()}_{name}"
                region = shm.create_shared_memory_region("region", key, 256)
                try:
                    shm.set_shared_memory_region(region, [A, B])
                    client.register_system_shared_memory("region", key, 256)
                    kwargs = {"as_json": True} if name == "grpc" else {}
                    self.assertIn("region", str(client.get_system_shared_memory_status(**kwargs)))
                    inputs = [module.InferInput("INPUT0", [1, 16], "INT32"), module.InferInput("INPUT1", [1, 16], "INT32")]
                    inputs[0].set_shared_memory("region", 64)
                    inputs[1].set_shared_memory("region", 64, offset=64)
                    outputs = [module.InferRequestedOutput("OUTPUT0"), module.InferRequestedOutput("OUTPUT1")]
                    outputs[0].set_shared_memory("region", 64, offset=128)
                    result = client.infer("simple", inputs, outputs=outputs)
                    np.testing.assert_array_equal(shm.get_contents_as_numpy(region, np.int32, [1, 16], 128), A + B)
                    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), A - B)
                    for offset, size in ((0, 512), (250, 64), (2**40, 64)):
                        inputs[0].set_shared_memory("region", size, offset=offset)
                        with self.assertRaises(InferenceServerException):
                            client.infer("simple", inputs)
                    with self.assertRaisesRegex(InferenceServerException, "already in manager"):
                        client.register_system_shared_memory("region", key, 256)
                    client.unregister_system_shared_memory("region")
                    inputs[0].set_shared_memory("region", 64)
                    with self.assertRaisesRegex(InferenceServerException, "Unable to find shared memory region: 'region'"):
                        client.infer("simple", inputs)
                finally:
                    shm.destroy_shared_memory_region(region)

    def test_cuda_shared_memory_is_refused_without_a_gpu(self):
        with httpclient.InferenceServerClient(HTTP) as client:
            self.assertEqual(client.get_cuda_shared_memory_status(), [])
            with self.assertRaisesRegex(InferenceServerException, "this server has no GPU"):
                client.register_cuda_shared_memory("r", b"aGFuZGxl", 0, 64)


class Control(unittest.TestCase):
    def test_load_and_unload(self):
        for name, module, url in PROTOCOLS:
            with self.subTest(name), module.InferenceServerClient(url) as client:
                client.unload_model("identity_int8")
                self.assertFalse(client.is_model_ready("identity_int8"))
                client.load_model("identity_int8")
                self.assertTrue(client.is_model_ready("identity_int8"))
                with self.assertRaisesRegex(InferenceServerException, "failed to load 'nope', failed to poll from model repository"):
                    client.load_model("nope")
                index = client.get_model_repository_index(**({"as_json": True} if name == "grpc" else {}))
                self.assertIn("identity_int8", str(index))

    def test_load_with_a_configuration(self):
        for name, module, url in PROTOCOLS:
            with self.subTest(name), module.InferenceServerClient(url) as client:
                config = (
                    '{"backend":"identity","max_batch_size":5,"input":[{"name":"INPUT0","data_type":"TYPE_INT8","dims":[-1]}],'
                    '"output":[{"name":"OUTPUT0","data_type":"TYPE_INT8","dims":["-1"]}]}'
                )
                client.load_model("identity_int8", config=config)
                got = client.get_model_config("identity_int8", **({"as_json": True} if name == "grpc" else {}))
                self.assertEqual(got.get("config", got)["max_batch_size"], 5)
                client.load_model("identity_int8")

    def test_log_settings(self):
        for name, module, url in PROTOCOLS:
            with self.subTest(name), module.InferenceServerClient(url) as client:
                kwargs = {"as_json": True} if name == "grpc" else {}
                client.update_log_settings({"log_verbose_level": 1}, **kwargs)
                self.assertIn("1", str(client.get_log_settings(**kwargs)))
                client.update_log_settings({"log_verbose_level": 0}, **kwargs)


if __name__ == "__main__":
    unittest.main(verbosity=2)
