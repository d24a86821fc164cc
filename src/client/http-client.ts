import { type ModelConfig, modelConfigFromJson } from '../protocol/index.ts';
import { ClientError } from './client-error.ts';
import type { Endpoint } from './endpoint.ts';
import { Http1Connection } from './http1-connection.ts';
import type { HttpResponse } from './http1-response.ts';
import {
  type Duration,
  DURATIONS,
  type KserveClient,
  type ModelMetadata,
  type ModelStatistics,
  type TensorMetadata,
} from './kserve-client.ts';

type Json = Readonly<Record<string, unknown>>;

/** Headers that every request carries, names and values in turn. */
export type ExtraHeaders = readonly (readonly [name: string, value: string])[];

/** The head of a request. */
export function requestHead(
  method: string,
  path: string,
  { host, port }: Endpoint,
  headers: ExtraHeaders,
  bodyBytes: number | undefined,
): string {
  let head = `${method} ${path} HTTP/1.1\r\nHost: ${host.includes(':') ? `[${host}]` : host}:${port}\r\n`;
  for (const [name, value] of headers) head += `${name}: ${value}\r\n`;
  if (bodyBytes !== undefined) head += `Content-Length: ${bodyBytes}\r\n`;
  return `${head}\r\n`;
}

/** The path of a model, or of one of its versions. */
export function modelPath(model: string, version: string): string {
  return `/v2/models/${encodeURIComponent(model)}${version === '' ? '' : `/versions/${encodeURIComponent(version)}`}`;
}

/** KServe v2 over HTTP. */
export class KserveHttpClient implements KserveClient {
  private readonly endpoint: Endpoint;
  private readonly headers: ExtraHeaders;
  private connection: Http1Connection | undefined;
  /** Calls are made one after the other. */
  private turn: Promise<unknown> = Promise.resolve();

  constructor(endpoint: Endpoint, headers: ExtraHeaders = []) {
    this.endpoint = endpoint;
    this.headers = headers;
  }

  async serverReady(): Promise<boolean> {
    return (await this.call('GET', '/v2/health/ready')).status === 200;
  }

  async modelMetadata(model: string, version: string): Promise<ModelMetadata> {
    const json = await this.json('GET', modelPath(model, version));
    const tensors = (list: unknown): TensorMetadata[] =>
      (Array.isArray(list) ? list : []).map((each: Json) => ({
        name: String(each['name']),
        datatype: String(each['datatype']),
        shape: (Array.isArray(each['shape']) ? each['shape'] : []).map(Number),
      }));
    if (typeof json['name'] !== 'string')
      throw new ClientError('protocol', `the server's metadata of model '${model}' are not those of KServe v2`);
    return {
      name: json['name'],
      versions: (Array.isArray(json['versions']) ? json['versions'] : []).map(String),
      platform: typeof json['platform'] === 'string' ? json['platform'] : '',
      inputs: tensors(json['inputs']),
      outputs: tensors(json['outputs']),
    };
  }

  async modelConfig(model: string, version: string): Promise<ModelConfig> {
    const { body } = await this.succeed('GET', `${modelPath(model, version)}/config`);
    return modelConfigFromJson(body.toString());
  }

  async statistics(model: string, version: string): Promise<readonly ModelStatistics[]> {
    const path = model === '' ? '/v2/models' : modelPath(model, version);
    const { model_stats: list } = await this.json('GET', `${path}/stats`);
    return (Array.isArray(list) ? list : []).map(readStatistics);
  }

  async registerSystemMemory(name: string, key: string, byteSize: number): Promise<void> {
    const path = `/v2/systemsharedmemory/region/${encodeURIComponent(name)}/register`;
    await this.succeed('POST', path, { key, offset: 0, byte_size: byteSize });
  }

  async unregisterSystemMemory(name: string): Promise<void> {
    await this.succeed('POST', `/v2/systemsharedmemory/region/${encodeURIComponent(name)}/unregister`, {});
  }

  async traceSettings(model: string, settings: Readonly<Record<string, readonly string[]>>): Promise<void> {
    const flat = Object.entries(settings).map(([name, values]) => [name, name === 'trace_level' ? values : values[0]]);
    await this.succeed('POST', `${modelPath(model, '')}/trace/setting`, Object.fromEntries(flat) as Json);
  }

  close(): void {
    this.connection?.close();
  }

  private async json(method: string, path: string): Promise<Json> {
    const { body } = await this.succeed(method, path);
    try {
      return JSON.parse(body.toString()) as Json;
    } catch {
      throw new ClientError('protocol', `the server's answer to ${method} ${path} is no JSON`);
    }
  }

  private async succeed(method: string, path: string, body?: Json): Promise<HttpResponse> {
    const response = await this.call(method, path, body);
    if (response.status === 200) return response;
    throw new ClientError('server', errorText(response), response.status);
  }

  private call(method: string, path: string, body?: Json): Promise<HttpResponse> {
    const call = this.turn.then(() => this.exchange(method, path, body));
    this.turn = call.catch(() => undefined);
    return call;
  }

  private async exchange(method: string, path: string, body?: Json): Promise<HttpResponse> {
    if (!this.connection?.usable) this.connection = await Http1Connection.connect(this.endpoint);
    const { connection } = this;
    const content = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const head = Buffer.from(requestHead(method, path, this.endpoint, this.headers, content?.length), 'latin1');
    return new Promise((resolve, reject) => {
      connection.send(content ? [head, content] : [head], {
        done: (response) => resolve({ ...response, body: Buffer.from(response.body) }),
        failed: reject,
      });
    });
  }
}

/** What the server says is wrong. */
export function errorText({ status, body }: Pick<HttpResponse, 'status' | 'body'>): string {
  const text = body.toString();
  try {
    const { error } = JSON.parse(text) as { readonly error?: unknown };
    if (typeof error === 'string') return error;
    const message = (error as { readonly message?: unknown } | undefined)?.message;
    if (typeof message === 'string') return message;
  } catch {
    // Not all servers answer in JSON.
  }
  return `HTTP status ${status}${text === '' ? '' : `: ${text.slice(0, 300)}`}`;
}

function readStatistics(json: Json): ModelStatistics {
  const inference = (json['inference_stats'] ?? {}) as Readonly<Record<string, Partial<Duration> | undefined>>;
  const durations = DURATIONS.map((name) => {
    const { count = 0, ns = 0 } = inference[name] ?? {};
    return [name, { count, ns }];
  });
  return {
    name: String(json['name']),
    version: String(json['version']),
    inferenceCount: Number(json['inference_count'] ?? 0),
    executionCount: Number(json['execution_count'] ?? 0),
    durations: Object.fromEntries(durations) as ModelStatistics['durations'],
  };
}
