import { toServerError } from '../../../core/index.ts';
import type { Engine } from '../../engine/index.ts';
import type { ServerIdentity } from '../identity.ts';
import { missingHeader, type RestrictedApi, type Restrictions } from '../restrictions.ts';
import {
  createErrorReplies,
  emptyReply,
  errorReply,
  type HttpHandler,
  type HttpReply,
  type HttpRequest,
  JSON_TYPE,
  jsonReply,
  TEXT_TYPE,
} from '../exchange.ts';
import { GenerateHandler } from './generate-handler.ts';
import type { HeaderForwarding } from './header-forwarding.ts';
import { InferHandler } from './infer-handler.ts';
import { CUDA_MEMORY_ROUTES, SYSTEM_MEMORY_ROUTES } from './memory-routes.ts';
import { MODEL_ROUTES, statisticsReply } from './model-routes.ts';
import { foreignRequest } from './origin-check.ts';
import { INDEX, LOAD, UNLOAD } from './repository-routes.ts';
import { type Call, GET_ONLY, type Route } from './route.ts';
import { LOGGING, TRACE } from './settings-routes.ts';

export interface HttpFrontendOptions {
  readonly engine: Engine;
  readonly identity: ServerIdentity;
  /** The address that the server listens on. */
  readonly host: string;
  readonly restrictions: Restrictions;
  readonly forwarding: HeaderForwarding;
  /** The status of a request that was not taken because too many wait already. */
  readonly overloadStatus: number;
}

const MODEL_PATH =
  /^\/v2\/models\/([^/]+)(?:\/versions\/([0-9]+))?(?:\/(infer|config|ready|stats|generate|generate_stream|trace\/setting|traffic|batching))?$/;
const REPOSITORY_PATH = /^\/v2\/repository\/(?:index|models\/([^/]+)\/(load|unload))$/;
const SHARED_MEMORY_PATH =
  /^\/v2\/(systemsharedmemory|cudasharedmemory)(?:\/region\/([^/]+))?\/(status|register|unregister)$/;

/** All of Triton's HTTP API (https://github.com/triton-inference-server/server/tree/main/docs/protocol). */
export function createHttpHandler(options: HttpFrontendOptions): HttpHandler {
  const { engine, restrictions, forwarding } = options;
  const errors = createErrorReplies(options.overloadStatus);
  const inference = new InferHandler(engine, forwarding, errors);
  const generation = new GenerateHandler(engine, forwarding, errors);
  /** Answers a call that lacks the key of its group; false when it may go on. */
  const refused = (api: RestrictedApi, http: HttpRequest, reply: (reply: HttpReply) => void): boolean => {
    const header = missingHeader(restrictions, api, (name) => http.header(name));
    if (header !== undefined) {
      reply(errorReply(403, `This API is restricted, expecting header '${header}'`, TEXT_TYPE));
    }
    return header !== undefined;
  };
  return (http, reply) => {
    const query = http.target.indexOf('?');
    const path = query < 0 ? http.target : http.target.slice(0, query);
    const model = MODEL_PATH.exec(path);
    const action = model?.[3];
    if (http.method === 'POST' && (action === 'infer' || action === 'generate' || action === 'generate_stream')) {
      const name = decodeName(model?.[1] ?? '');
      const version = model?.[2] ?? '';
      if (name === undefined) reply(errorReply(400, `invalid model name '${model?.[1]}'`, TEXT_TYPE));
      else if (refused('inference', http, reply)) return undefined;
      else if (action === 'infer') return inference.handle(name, version, http, reply);
      else return generation.handle(name, version, action === 'generate_stream', http, reply);
      return undefined;
    }
    const found = findRoute(path, model);
    if (!found) {
      reply(errorReply(404, 'Not Found', TEXT_TYPE));
      return undefined;
    }
    const { route, name, version } = found;
    if (!route.methods.some((method) => method === http.method)) {
      reply(errorReply(405, 'Method Not Allowed', route.plain ? TEXT_TYPE : JSON_TYPE));
      return undefined;
    }
    if (refused(route.api, http, reply)) return undefined;
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

const LIVE: Route = {
  api: 'health',
  plain: true,
  methods: GET_ONLY,
  handle: ({ engine }) => emptyReply(engine.live ? 200 : 400, TEXT_TYPE),
};

const READY: Route = {
  api: 'health',
  plain: true,
  methods: GET_ONLY,
  handle: ({ engine }) => emptyReply(engine.ready ? 200 : 400, TEXT_TYPE),
};

const SERVER_METADATA: Route = {
  api: 'metadata',
  methods: GET_ONLY,
  handle: ({ identity }) => jsonReply(200, JSON.stringify(identity)),
};

const FIXED_ROUTES: Readonly<Record<string, Route>> = {
  '/v2': SERVER_METADATA,
  '/v2/health/live': LIVE,
  '/v2/health/ready': READY,
  '/v2/models/stats': {
    api: 'statistics',
    methods: GET_ONLY,
    handle: ({ engine }) => statisticsReply(engine, '', ''),
  },
  '/v2/logging': LOGGING,
  '/v2/trace/setting': TRACE,
};
