import { createLogger, errorMessage, LOG_FORMATS, type Logger, systemClock } from '../core/index.ts';
import { discoverDevices } from '../repository/index.ts';
import { DEFAULT_POOL_LIMITS } from '../server/backends/onnxruntime/index.ts';
import { type EngineOptions, MODEL_CONTROL_MODES } from '../server/engine/index.ts';
import { createBackends } from './backends.ts';
import { cacheChoice } from './cache-flags.ts';
import { compressionLevel, connectionLimits, forwardPattern, restrictions, tlsOptions } from './endpoint-flags.ts';
import { type FlagValues, formatFlags, parseFlags, UsageError } from './flags.ts';
import { metricsOptions } from './metrics-flags.ts';
import { createPluginLoader } from './plugins.ts';
import { rateLimits } from './rate-limit-flags.ts';
import { SERVE_FLAGS } from './serve-flags.ts';
import { INERT_FLAGS, REFUSED_FLAGS } from './unsupported-flags.ts';
import { type EndpointAddress, type RunningServer, type ServerOptions, startServer } from './start-server.ts';
import { tracingOptions } from './trace-flags.ts';
import { packageVersion } from './version.ts';

/** Defaults that differ between `goodput serve` and the same server under the name `tritonserver`. */
export interface ServeDefaults {
  readonly host: string;
  readonly exitOnError: boolean;
  readonly strictReadiness: boolean;
  readonly strictDevices: boolean;
}

export const GOODPUT_DEFAULTS: ServeDefaults = {
  host: '127.0.0.1',
  exitOnError: false,
  strictReadiness: false,
  strictDevices: false,
};

export const TRITON_DEFAULTS: ServeDefaults = {
  host: '0.0.0.0',
  exitOnError: true,
  strictReadiness: true,
  strictDevices: true,
};

/** `goodput serve`: runs until SIGTERM or SIGINT. Returns the exit status. */
export async function serveCommand(argv: readonly string[], defaults: ServeDefaults): Promise<number> {
  if (argv.includes('--help')) {
    process.stdout.write(`Usage: goodput serve --model-repository=DIR [flags]\n\n${formatFlags(SERVE_FLAGS)}\n`);
    return 0;
  }
  const inert = splitInert(argv);
  const flags = parseFlags(inert.rest, SERVE_FLAGS, REFUSED_FLAGS);
  const logger = loggerOf(flags);
  for (const name of inert.names) logger.warn(`--${name} has no effect: ${INERT_FLAGS[name]}`);
  const options = await engineOptions(flags, defaults, logger);
  const stopped = untilSignal();
  surviveMistakes(logger);
  const serverOptions: ServerOptions = {
    engine: options,
    backends: createBackends({
      onnxruntimeThreads: flags.number('onnxruntime-threads', DEFAULT_POOL_LIMITS.dedicated),
    }),
    serverName: flags.string('id', 'triton'),
    http: endpoint(flags, 'http', 8000, defaults),
    grpc: endpoint(flags, 'grpc', 8001, defaults),
    metrics: endpoint(flags, 'metrics', 8002, defaults),
    httpOptions: {
      restrictions: restrictions(flags, 'http'),
      forward: forwardPattern(flags, 'http-header-forward-pattern'),
      maxInputBytes: flags.number('http-max-input-size', 64 * 1024 * 1024),
      overloadStatus: Number(flags.string('overload-status', '503')),
    },
    grpcOptions: {
      restrictions: restrictions(flags, 'grpc'),
      forward: forwardPattern(flags, 'grpc-header-forward-pattern'),
      maxMessageBytes: flags.number('grpc-max-message-size', 2 ** 31 - 1),
      compressionLevel: compressionLevel(flags),
      tls: tlsOptions(flags),
      connections: connectionLimits(flags),
      delayMillis: Number(process.env['TRITONSERVER_SERVER_DELAY_GRPC_RESPONSE_SEC'] ?? 0) * 1000,
      inferDelayMillis: Number(process.env['TRITONSERVER_DELAY_GRPC_RESPONSE'] ?? 0),
    },
    metricsOptions: metricsOptions(flags),
    surviveFailedStart: flags.has('exit-on-error') && !flags.boolean('exit-on-error', true),
  };
  let server: RunningServer;
  try {
    server = await startServer(serverOptions);
  } catch (error) {
    logger.error(`error: creating server: ${errorMessage(error)}`);
    return 1;
  }
  const exitTimeout = flags.number('exit-timeout-secs', 30);
  report(server, logger);
  if (flags.boolean('exit-on-error', defaults.exitOnError) && server.engine.failures().length > 0) {
    logger.error('error: creating server: Internal - failed to load all models');
    await server.stop(exitTimeout);
    return 1;
  }
  hintAtNetwork(flags, defaults, logger);
  const signal = await stopped;
  logger.info(`Signal (${signal}) received: waiting up to ${exitTimeout} s for requests in progress`);
  await server.stop(exitTimeout);
  return 0;
}

/** A mistake in the server's own code costs what it was doing, not the models that it serves. */
function surviveMistakes(logger: Logger): void {
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (thrown: unknown) => {
      logger.error(
        `internal error (${event}): ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}`,
      );
    });
  }
}

/** Takes the flags without effect out of a command line, with their values. */
function splitInert(argv: readonly string[]): { readonly names: readonly string[]; readonly rest: readonly string[] } {
  const names: string[] = [];
  const rest: string[] = [];
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? '';
    const name = /^--([^=]+)/.exec(argument)?.[1]?.replaceAll('_', '-') ?? '';
    if (!(name in INERT_FLAGS)) {
      rest.push(argument);
      continue;
    }
    names.push(name);
    if (!argument.includes('=') && !(argv[index + 1] ?? '--').startsWith('--')) index++;
  }
  return { names, rest };
}

function untilSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
  });
}

function loggerOf(flags: FlagValues): Logger {
  const format = LOG_FORMATS.find((known) => known === flags.string('log-format', 'default')) ?? 'default';
  return createLogger({
    logVerboseLevel: flags.number('log-verbose', 0),
    logInfo: flags.boolean('log-info', true),
    logWarning: flags.boolean('log-warning', true),
    logError: flags.boolean('log-error', true),
    logFormat: format,
    logFile: flags.string('log-file', ''),
  });
}

async function engineOptions(flags: FlagValues, defaults: ServeDefaults, logger: Logger): Promise<EngineOptions> {
  const repositories = flags.all('model-repository');
  if (repositories.length === 0) throw new UsageError('--model-repository is needed: the folder that holds the models');
  const controlMode = MODEL_CONTROL_MODES.find((mode) => mode === flags.string('model-control-mode', 'none')) ?? 'none';
  const loadModels = flags.all('load-model');
  if (loadModels.length > 0 && controlMode !== 'explicit') {
    throw new UsageError('--load-model needs --model-control-mode=explicit');
  }
  if (loadModels.includes('*') && loadModels.length > 1) {
    throw new UsageError("Wildcard model name '*' must be the ONLY startup model if specified at all.");
  }
  const cache = cacheChoice(flags, logger);
  const backendSettings = parseBackendConfig(flags.all('backend-config'));
  return {
    repositories,
    controlMode,
    loadModels,
    pollSeconds: flags.number('repository-poll-secs', 15),
    autoComplete: !flags.boolean('disable-auto-complete-config', false) && !flags.boolean('strict-model-config', false),
    configName: flags.optional('model-config-name'),
    strictDevices: flags.boolean('strict-devices', defaults.strictDevices),
    strictReadiness: flags.boolean('strict-readiness', defaults.strictReadiness),
    devices: await discoverDevices(),
    loadThreads: flags.number('model-load-thread-count', 4),
    maxInflightBytes: flags.number('max-inflight-bytes', 2 ** 31),
    loadRetries: flags.number('model-load-retry-count', 0),
    namespacing: flags.boolean('model-namespacing', false),
    cache: cache?.create,
    sharedCache: cache?.shared ?? false,
    rateLimits: rateLimits(flags),
    summaries: metricsOptions(flags).summaryLatencies,
    tracing: tracingOptions(flags),
    random: Math.random,
    startThreshold: Number(process.env['TRITONSERVER_DELAY_SCHEDULER'] ?? 0),
    backlogThreshold: Number(process.env['TRITONSERVER_BACKLOG_DELAY_SCHEDULER'] ?? 0),
    clock: systemClock,
    logger,
    findBackend: createPluginLoader(flags.optional('backend-directory'), logger),
    backendConfig: (backend) => new Map([...(backendSettings.get('') ?? []), ...(backendSettings.get(backend) ?? [])]),
  };
}

/** `BACKEND,KEY=VALUE` entries by backend; `,KEY=VALUE` and `KEY=VALUE` are for all of them. */
function parseBackendConfig(entries: readonly string[]): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const settings = new Map<string, Map<string, string>>();
  for (const entry of entries) {
    const match = /^(?:([^,=]*),)?([^=,]+)=(.*)$/.exec(entry);
    if (!match) throw new UsageError(`--backend-config must be BACKEND,KEY=VALUE, got '${entry}'`);
    const backend = match[1] ?? '';
    const known = settings.get(backend) ?? new Map<string, string>();
    known.set(match[2] ?? '', match[3] ?? '');
    settings.set(backend, known);
  }
  return settings;
}

function endpoint(
  flags: FlagValues,
  kind: 'http' | 'grpc' | 'metrics',
  port: number,
  defaults: ServeDefaults,
): EndpointAddress | undefined {
  if (!flags.boolean(`allow-${kind}`, true)) return undefined;
  if (flags.boolean(`reuse-${kind}-port`, false) && !canReusePorts()) {
    throw new UsageError(`--reuse-${kind}-port needs Node 22.12 or newer, this is ${process.version}`);
  }
  return {
    host: flags.string(`${kind}-address`, flags.string('host', defaults.host)),
    reusePort: kind !== 'metrics' && flags.boolean(`reuse-${kind}-port`, false),
    port: flags.number(`${kind}-port`, port),
  };
}

function canReusePorts(): boolean {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return major > 23 || (major === 23 && minor >= 1) || (major === 22 && minor >= 12);
}

/** The table of models that Triton prints when it has started. */
function report(server: RunningServer, logger: Logger): void {
  const rows = server.engine.allModels().map((model) => [model.name, String(model.version), 'READY']);
  for (const { name, reason } of server.engine.failures()) rows.push([name, '-', `UNAVAILABLE: ${reason}`]);
  const width = (column: number): number => Math.max(...rows.map((row) => row[column]?.length ?? 0), 7);
  for (const row of rows) {
    logger.info(`${(row[0] ?? '').padEnd(width(0))}  ${(row[1] ?? '').padEnd(width(1))}  ${row[2] ?? ''}`);
  }
  const uptime = process.uptime().toFixed(2);
  logger.info(
    `goodput ${packageVersion()} is serving ${server.engine.allModels().length} model version(s), ${uptime} s after its start`,
  );
}

function hintAtNetwork(flags: FlagValues, defaults: ServeDefaults, logger: Logger): void {
  const host = flags.string('host', defaults.host);
  if (host === '127.0.0.1' && !flags.has('http-address')) {
    logger.info('Only this machine can connect; --host=0.0.0.0 opens the endpoints to the network');
  }
}
