import { errorMessage, type Logger } from '../core/index.ts';
import type { Backend } from '../server/backends/contract.ts';
import { Engine, type EngineOptions } from '../server/engine/index.ts';
import {
  type ConnectionLimits,
  createGrpcService,
  listenGrpc,
  type TlsOptions,
} from '../server/frontends/grpc/index.ts';
import {
  createHeaderForwarding,
  createHttpHandler,
  listenHttp,
  NO_FORWARDING,
} from '../server/frontends/http/index.ts';
import { createOpenAiHandler, OPENAI_PREFIX } from '../server/frontends/openai/index.ts';
import { errorReply, type HttpHandler } from '../server/frontends/exchange.ts';
import { EXTENSIONS, type ServerIdentity } from '../server/frontends/identity.ts';
import { createMetricsRenderer, type MetricsOptions } from '../server/frontends/metrics/index.ts';
import type { Restrictions } from '../server/frontends/restrictions.ts';
import { EXPOSITION_CONTENT_TYPE } from '../telemetry/index.ts';
import { packageVersion } from './version.ts';

/** Where one endpoint listens; `undefined` for an endpoint that is off. */
export interface EndpointAddress {
  readonly host: string;
  readonly port: number;
  /** Other processes may listen on the same port. */
  readonly reusePort: boolean;
}

/** What only the HTTP endpoint has. */
export interface HttpOptions {
  readonly restrictions: Restrictions;
  readonly forward: RegExp | undefined;
  readonly maxInputBytes: number;
  readonly overloadStatus: number;
}

/** What only the gRPC endpoint has. */
export interface GrpcOptions {
  readonly restrictions: Restrictions;
  readonly forward: RegExp | undefined;
  readonly maxMessageBytes: number;
  readonly compressionLevel: number;
  readonly tls: TlsOptions | undefined;
  readonly connections: ConnectionLimits;
  readonly delayMillis: number;
  readonly inferDelayMillis: number;
}

export interface ServerOptions {
  readonly engine: EngineOptions;
  readonly backends: readonly Backend[];
  readonly serverName: string;
  readonly http: EndpointAddress | undefined;
  readonly grpc: EndpointAddress | undefined;
  readonly metrics: EndpointAddress | undefined;
  readonly httpOptions: HttpOptions;
  readonly grpcOptions: GrpcOptions;
  readonly metricsOptions: MetricsOptions;
  /** When the models cannot be loaded at all, answer that the server is not live instead of failing. */
  readonly surviveFailedStart: boolean;
}

/** A server with its endpoints open and its models loaded. */
export interface RunningServer {
  readonly engine: Engine;
  /** Ports that are listened on, by endpoint. */
  readonly ports: { readonly http?: number; readonly grpc?: number; readonly metrics?: number };
  /** Drains and closes everything. */
  stop(timeoutSeconds: number): Promise<void>;
}

interface Closable {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Opens the endpoints, then loads the models: health can be asked while models load.
 * @param opened called when the endpoints listen
 */
export async function startServer(options: ServerOptions, opened?: () => void): Promise<RunningServer> {
  const engine = new Engine(options.engine, options.backends);
  const { logger } = options.engine;
  const identity: ServerIdentity = { name: options.serverName, version: packageVersion(), extensions: EXTENSIONS };
  const listeners: Closable[] = [];
  const open = async <T extends Closable>(
    kind: string,
    address: EndpointAddress | undefined,
    listen: (address: EndpointAddress) => Promise<T>,
  ): Promise<number | undefined> => {
    if (!address) return undefined;
    const listener = await listen(address).catch((error: unknown) => {
      throw new Error(`cannot listen for ${kind} on ${address.host}:${address.port}: ${errorMessage(error)}`);
    });
    listeners.push(listener);
    logger.info(`Started ${kind} at ${address.host}:${listener.port}`);
    return listener.port;
  };
  try {
    const http = await open('HTTPService', options.http, (address) => {
      const { restrictions, forward, maxInputBytes, overloadStatus } = options.httpOptions;
      const forwarding = forward ? createHeaderForwarding(forward) : NO_FORWARDING;
      const kserve = createHttpHandler({
        engine,
        identity,
        host: address.host,
        restrictions,
        forwarding,
        overloadStatus,
      });
      const openai = createOpenAiHandler({ engine, restrictions });
      const handler: HttpHandler = (request, answer) =>
        (request.target.startsWith(OPENAI_PREFIX) ? openai : kserve)(request, answer);
      return listenHttp(handler, { ...address, maxInputBytes, logger });
    });
    const grpc = await open('GRPCInferenceService', options.grpc, (address) =>
      listenGrpc(createGrpcService({ engine, identity, ...options.grpcOptions }), {
        ...address,
        ...options.grpcOptions,
        logger,
      }),
    );
    const metrics = await open('Metrics Service', options.metrics, (address) =>
      listenHttp(metricsHandler(engine, options.metricsOptions), { ...address, maxInputBytes: 0, logger }),
    );
    opened?.();
    try {
      await engine.start();
    } catch (error) {
      if (!options.surviveFailedStart) throw error;
      logger.error(`the server has failed to start and is not live: ${errorMessage(error)}`);
      engine.markFailed();
    }
    return {
      engine,
      ports: {
        ...(http === undefined ? {} : { http }),
        ...(grpc === undefined ? {} : { grpc }),
        ...(metrics === undefined ? {} : { metrics }),
      },
      stop: (timeoutSeconds) => stop(engine, listeners, timeoutSeconds, logger),
    };
  } catch (error) {
    await stop(engine, listeners, 0, logger);
    throw error;
  }
}

async function stop(
  engine: Engine,
  listeners: readonly Closable[],
  timeoutSeconds: number,
  logger: Logger,
): Promise<void> {
  await engine.stop(timeoutSeconds).catch((error: unknown) => logger.error(`stopping: ${errorMessage(error)}`));
  await Promise.all(listeners.map((listener) => listener.close()));
}

/** `GET /metrics`. */
function metricsHandler(engine: Engine, options: MetricsOptions): HttpHandler {
  const render = createMetricsRenderer(engine, options);
  return (request, reply) => {
    const path = request.target.split('?')[0];
    if (path !== '/metrics') reply(errorReply(404, 'Not Found'));
    else if (request.method !== 'GET') reply(errorReply(405, 'Method Not Allowed'));
    else reply({ status: 200, contentType: EXPOSITION_CONTENT_TYPE, body: [Buffer.from(render())] });
    return undefined;
  };
}
