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
  { method: 'GET', path: '/v2/models/{model}[/versions/{version}]/stats', what: 'Statistics of one model' },
  { method: 'GET', path: '/v2/models/stats', what: 'Statistics of all models' },
  { method: 'POST', path: '/v2/repository/index', what: 'Models and their states; {"ready": true} for the ready ones' },
  {
    method: 'POST',
    path: '/v2/repository/models/{model}/load',
    what: 'Load or reload, in explicit mode; {"parameters": {"config": ...}} replaces the configuration',
  },
  { method: 'POST', path: '/v2/repository/models/{model}/unload', what: 'Unload, in explicit mode' },
  { method: 'GET, POST', path: '/v2/logging', what: 'Read and change log settings' },
  { method: 'GET', path: '/v2/trace/setting', what: 'Trace settings: off, since this version cannot trace' },
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
  { method: 'GET', path: '/v2/cudasharedmemory/status', what: 'Always empty: registering is refused without a GPU' },
];
