import { describeLogSettings, invalidArgument, parseLogSettings, toServerError } from '../../../core/index.ts';
import { isJsonObject, type JsonObject, modelConfigToJson, parseJsonText } from '../../../protocol/index.ts';
import { type Engine, modelMetadata, notSupported, statisticsView } from '../../engine/index.ts';
import {
  emptyReply,
  errorReply,
  type HttpHandler,
  type HttpReply,
  type HttpRequest,
  JSON_TYPE,
  jsonReply,
  TEXT_TYPE,
} from './exchange.ts';
import { InferHandler } from './infer-handler.ts';
import { foreignRequest } from './origin-check.ts';
import type { ServerIdentity } from '../identity.ts';

export interface HttpFrontendOptions {
  readonly engine: Engine;
  readonly identity: ServerIdentity;
  /** The address that the server listens on. */
  readonly host: string;
}

/** What a route's function gets. */
interface Call {
  readonly engine: Engine;
  readonly identity: ServerIdentity;
  readonly http: HttpRequest;
  readonly name: string;
  readonly version: string;
}

interface Route {
  readonly methods: readonly ('GET' | 'POST')[];
  /** Refused when it comes from a foreign web page. */
  readonly changesState?: boolean;
  readonly handle: (call: Call) => HttpReply | Promise<HttpReply>;
}

const MODEL_PATH =
  /^\/v2\/models\/([^/]+)(?:\/versions\/([0-9]+))?(?:\/(infer|config|ready|stats|generate|generate_stream|trace\/setting))?$/;
const REPOSITORY_PATH = /^\/v2\/repository\/(?:index|models\/([^/]+)\/(load|unload))$/;
const SHARED_MEMORY_PATH =
  /^\/v2\/(systemsharedmemory|cudasharedmemory)(?:\/region\/([^/]+))?\/(status|register|unregister)$/;

const GET_ONLY = ['GET'] as const;
const POST_ONLY = ['POST'] as const;
const BOTH = ['GET', 'POST'] as const;

/** All of Triton's HTTP API (https://github.com/triton-inference-server/server/tree/main/docs/protocol). */
export function createHttpHandler(options: HttpFrontendOptions): HttpHandler {
  const { engine } = options;
  const inference = new InferHandler(engine);
  return (http, reply) => {
    const query = http.target.indexOf('?');
    const path = query < 0 ? http.target : http.target.slice(0, query);
    const model = MODEL_PATH.exec(path);
    if (model?.[3] === 'infer' && http.method === 'POST') {
      const name = decodeName(model[1] ?? '');
      if (name === undefined) reply(errorReply(400, `invalid model name '${model[1]}'`, TEXT_TYPE));
      else return inference.handle(name, model[2] ?? '', http, reply);
      return undefined;
    }
    const found = findRoute(path, model);
    if (!found) {
      reply(errorReply(404, 'Not Found', TEXT_TYPE));
      return undefined;
    }
    const { route, name, version } = found;
    if (!route.methods.some((method) => method === http.method)) {
      reply(errorReply(405, 'Method Not Allowed', TEXT_TYPE));
      return undefined;
    }
    const foreign = route.changesState && http.method === 'POST' ? foreignRequest(http, options.host) : undefined;
    if (foreign !== undefined) {
      reply(errorReply(403, foreign));
      return undefined;
    }
    void run(route, { engine, identity: options.identity, http, name, version }).then(reply);
    return undefined;
  };
}

async function run(route: Route, call: Call): Promise<HttpReply> {
  try {
    return await route.handle(call);
  } catch (thrown) {
    const error = toServerError(thrown);
    return errorReply(error.httpStatus, error.message);
  }
}

interface FoundRoute {
  readonly route: Route;
  readonly name: string;
  readonly version: string;
}

function findRoute(path: string, model: RegExpExecArray | null): FoundRoute | undefined {
  const fixed = FIXED_ROUTES[path];
  if (fixed) return { route: fixed, name: '', version: '' };
  if (model) {
    const route = MODEL_ROUTES[model[3] ?? ''];
    const name = decodeName(model[1] ?? '');
    return route && name !== undefined ? { route, name, version: model[2] ?? '' } : undefined;
  }
  const repository = REPOSITORY_PATH.exec(path);
  if (repository) {
    const route = repository[2] === undefined ? INDEX : repository[2] === 'load' ? LOAD : UNLOAD;
    const name = decodeName(repository[1] ?? '');
    return name === undefined ? undefined : { route, name, version: '' };
  }
  const memory = SHARED_MEMORY_PATH.exec(path);
  if (memory) {
    const kind = memory[1] === 'systemsharedmemory' ? SYSTEM_MEMORY_ROUTES : CUDA_MEMORY_ROUTES;
    const route = kind[memory[3] ?? ''];
    const name = decodeName(memory[2] ?? '');
    return route && name !== undefined ? { route, name, version: '' } : undefined;
  }
  return undefined;
}

function decodeName(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

const INDEX: Route = {
  methods: POST_ONLY,
  async handle({ engine, http }) {
    const body = bodyObject(http);
    const ready = body['ready'] === true;
    const entries = await engine.index(ready);
    return jsonReply(
      200,
      JSON.stringify(
        entries.map(({ name, version, state, reason }) => ({
          name,
          ...(version === undefined ? {} : { version }),
          ...(state === undefined ? {} : { state }),
          ...(reason === undefined ? {} : { reason }),
        })),
      ),
    );
  },
};

const LOAD: Route = {
  methods: POST_ONLY,
  changesState: true,
  async handle({ engine, http, name }) {
    await engine.load(name, loadOverride(bodyObject(http)));
    return emptyReply(200, JSON_TYPE);
  },
};

const UNLOAD: Route = {
  methods: POST_ONLY,
  changesState: true,
  async handle({ engine, name }) {
    await engine.unload(name);
    return emptyReply(200, JSON_TYPE);
  },
};

/** The `config` parameter of a load; file overrides are a later addition and say so. */
function loadOverride(body: JsonObject): string | undefined {
  const parameters = body['parameters'];
  if (parameters === undefined) return undefined;
  if (!isJsonObject(parameters)) throw invalidArgument("'parameters' of a load request must be an object");
  let config: string | undefined;
  for (const [name, value] of Object.entries(parameters)) {
    if (name === 'config') {
      if (typeof value === 'string') config = value;
      else if (isJsonObject(value)) config = JSON.stringify(value);
      else throw invalidArgument("'config' of a load request must be a JSON object or its text");
    } else if (name.startsWith('file:')) {
      throw notSupported(`overriding a model's files at load ('${name}')`);
    } else {
      throw invalidArgument(`unknown parameter '${name}' of a load request: it takes 'config'`);
    }
  }
  return config;
}

function bodyObject(http: HttpRequest): JsonObject {
  if (http.body.length === 0) return {};
  const json = parseJsonText(
    Buffer.from(http.body.buffer, http.body.byteOffset, http.body.byteLength).toString('utf8'),
  );
  if (!isJsonObject(json)) throw invalidArgument('the request body must be a JSON object');
  return json;
}

const LIVE: Route = {
  methods: GET_ONLY,
  handle: ({ engine }) => emptyReply(engine.live ? 200 : 400, TEXT_TYPE),
};

const READY: Route = {
  methods: GET_ONLY,
  handle: ({ engine }) => emptyReply(engine.ready ? 200 : 400, TEXT_TYPE),
};

const SERVER_METADATA: Route = {
  methods: GET_ONLY,
  handle: ({ identity }) => jsonReply(200, JSON.stringify(identity)),
};

const LOGGING: Route = {
  methods: BOTH,
  changesState: true,
  handle({ engine, http }) {
    const { logger } = engine.options;
    if (http.method === 'POST') logger.update(parseLogSettings(bodyObject(http)));
    return jsonReply(200, JSON.stringify(describeLogSettings(logger.settings)));
  },
};

const TRACE: Route = {
  methods: BOTH,
  handle() {
    throw notSupported('tracing');
  },
};

const GENERATE: Route = {
  methods: POST_ONLY,
  handle() {
    throw notSupported('the generate extension');
  },
};

const FIXED_ROUTES: Readonly<Record<string, Route>> = {
  '/v2': SERVER_METADATA,
  '/v2/health/live': LIVE,
  '/v2/health/ready': READY,
  '/v2/models/stats': {
    methods: GET_ONLY,
    handle: ({ engine }) => statisticsReply(engine, '', ''),
  },
  '/v2/logging': LOGGING,
  '/v2/trace/setting': TRACE,
};

const MODEL_ROUTES: Readonly<Record<string, Route>> = {
  '': {
    methods: GET_ONLY,
    handle({ engine, name, version }) {
      const model = engine.model(name, version);
      return jsonReply(200, JSON.stringify(modelMetadata(model, engine.readyVersions(model.name))));
    },
  },
  config: {
    methods: GET_ONLY,
    handle: ({ engine, name, version }) => jsonReply(200, modelConfigToJson(engine.model(name, version).config)),
  },
  ready: {
    methods: GET_ONLY,
    handle: ({ engine, name, version }) =>
      engine.isModelReady(name, version)
        ? emptyReply(200, TEXT_TYPE)
        : errorReply(400, 'Model version not ready', TEXT_TYPE),
  },
  stats: {
    methods: GET_ONLY,
    handle: ({ engine, name, version }) => statisticsReply(engine, name, version),
  },
  infer: {
    methods: POST_ONLY,
    handle: () => errorReply(405, 'Method Not Allowed', TEXT_TYPE),
  },
  generate: GENERATE,
  generate_stream: GENERATE,
  'trace/setting': TRACE,
};

function statisticsReply(engine: Engine, name: string, version: string): HttpReply {
  const views = engine.modelsForStatistics(name, version).map((model) => {
    const { batch_stats, ...head } = statisticsView(model);
    return { ...head, response_stats: {}, batch_stats, memory_usage: [] };
  });
  return jsonReply(200, JSON.stringify({ model_stats: views }));
}

const SYSTEM_MEMORY_ROUTES: Readonly<Record<string, Route>> = {
  status: {
    methods: GET_ONLY,
    handle: ({ engine, name }) =>
      jsonReply(
        200,
        JSON.stringify(
          engine.sharedMemory.status(name).map((region) => ({
            name: region.name,
            key: region.key,
            offset: region.offset,
            byte_size: region.byteSize,
          })),
        ),
      ),
  },
  register: {
    methods: POST_ONLY,
    changesState: true,
    handle({ engine, http, name }) {
      if (name === '') throw invalidArgument("'region name' is necessary to register system shared memory region");
      const body = bodyObject(http);
      engine.sharedMemory.register({
        name,
        key: textMember(body, 'key'),
        offset: body['offset'] === undefined ? 0 : sizeMember(body, 'offset'),
        byteSize: sizeMember(body, 'byte_size'),
      });
      return emptyReply(200, JSON_TYPE);
    },
  },
  unregister: {
    methods: POST_ONLY,
    changesState: true,
    handle({ engine, name }) {
      if (name === '') engine.sharedMemory.unregisterAll();
      else engine.sharedMemory.unregister(name);
      return emptyReply(200, JSON_TYPE);
    },
  },
};

const CUDA_MEMORY_ROUTES: Readonly<Record<string, Route>> = {
  status: { methods: GET_ONLY, handle: () => jsonReply(200, '[]') },
  register: {
    methods: POST_ONLY,
    changesState: true,
    handle({ name }) {
      throw invalidArgument(`failed to register CUDA shared memory region '${name}': this server has no GPU`);
    },
  },
  unregister: { methods: POST_ONLY, changesState: true, handle: () => emptyReply(200, JSON_TYPE) },
};

function textMember(body: JsonObject, name: string): string {
  const value = body[name];
  if (typeof value !== 'string') throw invalidArgument(`'${name}' must be a string, got ${JSON.stringify(value)}`);
  return value;
}

function sizeMember(body: JsonObject, name: string): number {
  const value = body[name];
  if (!Number.isSafeInteger(value) || (value as number) < 0) {
    throw invalidArgument(`'${name}' must be an integer >= 0, got ${JSON.stringify(value)}`);
  }
  return value as number;
}
