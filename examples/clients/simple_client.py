"""Calls the 'simple' model of the quick start with the ordinary tritonclient, over HTTP and gRPC."""

import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient

a = np.arange(16, dtype=np.int32).reshape(1, 16)
b = np.full((1, 16), 10, dtype=np.int32)

for name, module, url in (
    ("HTTP", httpclient, "localhost:8000"),
    ("gRPC", grpcclient, "localhost:8001"),
):
    client = module.InferenceServerClient(url)
    inputs = [module.InferInput("INPUT0", a.shape, "INT32"), module.InferInput("INPUT1", b.shape, "INT32")]
    inputs[0].set_data_from_numpy(a)
    inputs[1].set_data_from_numpy(b)
    result = client.infer("simple", inputs)
    print(name, "sums       ", result.as_numpy("OUTPUT0")[0].tolist())
    print(name, "differences", result.as_numpy("OUTPUT1")[0].tolist())
