import type { Backend } from '../../src/server/backends/contract.ts';
import { createIdentityBackend } from '../../src/server/backends/identity/index.ts';
import { createOnnxruntimeBackend } from '../../src/server/backends/onnxruntime/index.ts';
import { type RunningServer, type ServerOptions, startServer } from '../../src/cli/start-server.ts';
import type { EngineOptions } from '../../src/server/engine/index.ts';
import { DEFAULT_QUANTILES } from '../../src/telemetry/index.ts';
import { createScriptedBackend } from './scripted-backend.ts';
import { engineOptions } from './test-engine.ts';

const FREE_PORT = { host: '127.0.0.1', port: 0, reusePort: false };

/** A server in the test's own process, with the scripted backend; disposing of it stops it. */
export async function startInProcess(
  repository: string,
  engine: Partial<EngineOptions> = {},
  change: Partial<ServerOptions> = {},
): Promise<
  RunningServer & AsyncDisposable & { readonly http: string; readonly grpc: string; readonly metrics: string }
> {
  const backends: readonly Backend[] = [createIdentityBackend(), createOnnxruntimeBackend(), createScriptedBackend()];
  const server = await startServer({
    engine: engineOptions(repository, engine),
    backends,
    serverName: 'triton',
    http: FREE_PORT,
    grpc: FREE_PORT,
    metrics: FREE_PORT,
    httpOptions: { restrictions: new Map(), forward: undefined, maxInputBytes: 2 ** 26, overloadStatus: 429 },
    grpcOptions: PLAIN_GRPC,
    metricsOptions: {
      counterLatencies: true,
      histogramLatencies: true,
      summaryLatencies: true,
      quantiles: DEFAULT_QUANTILES,
      cpu: true,
      intervalMillis: 0,
    },
    surviveFailedStart: false,
    ...change,
  });
  const at = (port: number | undefined): string => `127.0.0.1:${port ?? 0}`;
  return Object.assign(server, {
    http: at(server.ports.http),
    grpc: at(server.ports.grpc),
    metrics: at(server.ports.metrics),
    [Symbol.asyncDispose]: () => server.stop(5),
  });
}

export const PLAIN_GRPC: ServerOptions['grpcOptions'] = {
  restrictions: new Map(),
  forward: undefined,
  maxMessageBytes: 2 ** 26,
  compressionLevel: 0,
  tls: undefined,
  connections: {
    keepaliveTime: 0,
    keepaliveTimeout: 1000,
    keepaliveWithoutCalls: false,
    minPingInterval: 0,
    maxPingStrikes: 0,
    maxAge: 0,
    maxAgeGrace: 0,
  },
  delayMillis: 0,
  inferDelayMillis: 0,
};
