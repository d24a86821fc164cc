const SAGEMAKER =
  'SageMaker endpoints are not served: put a proxy in front that maps /invocations to /v2/models/M/infer';
const VERTEX = 'Vertex AI endpoints are not served: put a proxy in front that maps its routes to /v2';
const ONE_LOOP = 'one event loop serves all connections';
const NO_POOLS = 'there are no such buffers to size';
const BUILT_IN = 'caches are part of the server, shared libraries are not loaded';

/** tritonserver flags that cannot be honoured: each is refused with its reason. */
export const REFUSED_FLAGS: Readonly<Record<string, string>> = {
  'allow-sagemaker': SAGEMAKER,
  'sagemaker-port': SAGEMAKER,
  'sagemaker-safe-port-range': SAGEMAKER,
  'sagemaker-thread-count': SAGEMAKER,
  'allow-vertex-ai': VERTEX,
  'vertex-ai-port': VERTEX,
  'vertex-ai-thread-count': VERTEX,
  'vertex-ai-default-model': VERTEX,
  'host-policy': 'Node cannot bind its threads to cores or memory nodes: start the server under numactl or taskset',
  'model-load-gpu-limit': "the memory of GPUs is not looked at: limit it with the runtime's own settings",
};

/** tritonserver flags that tune parts which Goodput does not have: taken, and said at start to have no effect. */
export const INERT_FLAGS: Readonly<Record<string, string>> = {
  'http-thread-count': ONE_LOOP,
  'grpc-infer-thread-count': ONE_LOOP,
  'grpc-infer-max-inference-request-count': ONE_LOOP,
  'grpc-infer-allocation-pool-size': NO_POOLS,
  'grpc-max-response-pool-size': NO_POOLS,
  'grpc-http2-max-pings-without-data': 'the server sends a ping only after --grpc-keepalive-time',
  'allow-gpu-metrics': 'there are no GPU metrics',
  'repoagent-directory': 'there are no repository agents',
  'cache-directory': BUILT_IN,
  'pinned-memory-pool-byte-size': NO_POOLS,
  'cuda-memory-pool-byte-size': NO_POOLS,
  'cuda-virtual-address-size': NO_POOLS,
  'min-supported-compute-capability': 'the runtime that a model runs on decides which GPUs it takes',
  'buffer-manager-thread-count': NO_POOLS,
  'enable-peer-access': 'tensors do not go from one GPU to another',
};
