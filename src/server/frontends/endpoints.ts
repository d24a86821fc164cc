/** The HTTP endpoints, for the reference; a test asks the server for each of them. */
export const HTTP_ENDPOINTS: readonly {
  readonly method: 'GET' | 'POST' | 'GET, POST';
  readonly path: string;
  readonly what: string;
}[] = [
  { method: 'GET', path: '/v2', what: 'Server metadata: name, version, extensions' },
  { method: 'GET', path: '/v2/health/live', what: '200 while the server runs' },
  { method: 'GET', path: '/v2/health/ready', what: '200 when it can infer; 400 otherwise' },
  { method: 'GET', path: '/v2/models/{model}[/versions/{version}]', what: 'Model metadata' },
  {
    method: 'GET',
    path: '/v2/models/{model}[/versions/{version}]/ready',
    what: '200 when the model (version) can infer',
  },
  {
    method: 'GET',
    path: '/v2/models/{model}[/versions/{version}]/config',
    what: 'The configuration with everything that was completed',
  },
  {
    method: 'POST',
    path: '/v2/models/{model}[/versions/{version}]/infer',
    what: 'Inference: JSON and binary tensors, mixed; raw binary with Inference-Header-Content-Length: 0',
  },
  {
    method: 'POST',
    path: '/v2/models/{model}[/versions/{version}]/generate',
    what: 'The generate extension: plain JSON in, one response out',
  },
  {
    method: 'POST',
    path: '/v2/models/{model}[/versions/{version}]/generate_stream',
    what: 'The same, with every response as a server-sent event',
  },
  {
    method: 'GET',
    path: '/v2/models/{model}[/versions/{version}]/batching',
    what: 'Goodput only: executions by batch size, and why batches had that size',
  },
  {
    method: 'GET, POST',
    path: '/v2/models/{model}/traffic',
    what: 'Goodput only: percent of the requests without a version that each version gets; {"percent": {"1": 90, "2": 10}, "sticky_header": "x-user"}',
  },
  { method: 'GET', path: '/v2/models/{model}[/versions/{version}]/stats', what: 'Statistics of one model' },
  { method: 'GET', path: '/v2/models/stats', what: 'Statistics of all models' },
  { method: 'POST', path: '/v2/repository/index', what: 'Models and their states; {"ready": true} for the ready ones' },
  {
    method: 'POST',
    path: '/v2/repository/models/{model}/load',
    what: 'Load or reload, in explicit mode; {"parameters": {"config": ...}} replaces the configuration, {"file:1/model.onnx": base64} the files',
  },
  {
    method: 'POST',
    path: '/v2/repository/models/{model}/unload',
    what: 'Unload, in explicit mode; {"parameters": {"unload_dependents": true}} with the steps of an ensemble',
  },
  { method: 'GET, POST', path: '/v2/logging', what: 'Read and change log settings' },
  {
    method: 'GET, POST',
    path: '/v2[/models/{model}]/trace/setting',
    what: 'Read and change trace settings, of all models or of one',
  },
  { method: 'GET', path: '/v2/systemsharedmemory[/region/{region}]/status', what: 'Registered shared-memory regions' },
  {
    method: 'POST',
    path: '/v2/systemsharedmemory/region/{region}/register',
    what: 'Register a region: {"key", "offset", "byte_size"}',
  },
  {
    method: 'POST',
    path: '/v2/systemsharedmemory[/region/{region}]/unregister',
    what: 'Unregister one region or all',
  },
  { method: 'POST', path: '/v1/chat/completions', what: "OpenAI's chat, with models that generate text" },
  { method: 'POST', path: '/v1/completions', what: "OpenAI's completions" },
  { method: 'POST', path: '/v1/embeddings', what: "OpenAI's embeddings, with models that make numbers of a text" },
  { method: 'GET', path: '/v1/models[/{model}]', what: 'The models that these can be asked with' },
  { method: 'GET', path: '/v2/cudasharedmemory/status', what: 'Always empty: registering is refused without a GPU' },
];
