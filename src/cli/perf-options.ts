import { readFileSync } from 'node:fs';
import { didYouMean, errorMessage } from '../core/index.ts';
import { type ClientTls, type Endpoint, parseEndpoint } from '../client/index.ts';
import type { ParameterValue } from '../protocol/index.ts';
import {
  type InputSource,
  isRecording,
  type LoadMode,
  type Measuring,
  type PerfOptions,
  PROTOCOLS,
  type Protocol,
  type Range,
  readRecording,
} from '../perf/index.ts';
import { type FlagValues, UsageError } from './flags.ts';

/** The options of a run from its flags. */
export function perfOptions(flags: FlagValues): PerfOptions {
  const protocol = protocolOf(flags.string('protocol', 'http'));
  checkService(flags);
  const [model, version] = modelOf(flags);
  const inputs = inputsOf(flags);
  const recording = inputs.kind === 'recording' ? readInputs(inputs.path, model) : undefined;
  const mode = modeOf(flags, recording);
  const metrics = metricsUrl(flags.string('metrics-url', 'localhost:8002/metrics'));
  const collect = flags.boolean('collect-metrics', false);
  const streaming = flags.boolean('streaming', false);
  if (streaming && protocol !== 'grpc') throw new UsageError('--streaming needs gRPC: add -i grpc');
  if (flags.string('shared-memory', 'none') === 'cuda')
    throw new UsageError('--shared-memory cuda is not supported: use system');
  const percentile = flags.number('percentile', -1);
  const limit = flags.number('latency-threshold', 0);
  checkSearch(mode, flags.boolean('binary-search', false), limit);
  if (mode.kind === 'periodic' && !flags.has('profile-export-file')) {
    throw new UsageError(
      '--periodic-concurrency-range needs --profile-export-file: it is not measured until it is stable',
    );
  }
  return {
    model,
    version,
    protocol,
    endpoint: endpointOf(flags, protocol),
    headers: flags.all('header').map(parseHeader),
    mode,
    binarySearch: flags.boolean('binary-search', false),
    latencyLimitMs: limit,
    measuring: measuringOf(flags, mode, recording),
    percentile: percentile < 0 ? undefined : percentile,
    warmupRequests: flags.number('warmup-request-count', 0),
    batchSize: flags.number('batch-size', 1),
    inputs,
    shapes: new Map(flags.all('shape').map(parseShape)),
    stringLength: flags.number('string-length', 128),
    stringData: flags.optional('string-data'),
    jsonInputs: flags.string('input-tensor-format', 'binary') === 'json',
    jsonOutputs: flags.string('output-tensor-format', 'binary') === 'json',
    streaming,
    compression: compressionOf(flags, protocol),
    parameters: Object.fromEntries(flags.all('request-parameter').map(parseParameter)),
    sharedMemory: flags.string('shared-memory', 'none') === 'system',
    outputMemoryBytes: flags.number('output-shared-memory-size', 102_400),
    sequences: {
      length: flags.number('sequence-length', 20),
      lengthGiven: flags.has('sequence-length'),
      variationPercent: flags.number('sequence-length-variation', 20),
      ...sequenceIds(flags.string('sequence-id-range', '1')),
      count: flags.number('num-of-sequences', 4),
    },
    maxConnections: flags.number('max-connections', 512),
    metricsEndpoint: collect ? metrics.endpoint : undefined,
    metricsPath: metrics.path,
    metricsIntervalMs: flags.number('metrics-interval', 1000),
    composing: flags
      .string('bls-composing-models', '')
      .split(',')
      .filter((text) => text !== '')
      .map(parseComposing),
    exportRequests: flags.has('profile-export-file'),
  };
}

function protocolOf(text: string): Protocol {
  const protocol = PROTOCOLS.find((known) => known === text.toLowerCase());
  if (protocol) return protocol;
  throw new UsageError(
    `-i must be ${PROTOCOLS.join(' or ')}, got '${text}'${didYouMean(text.toLowerCase(), PROTOCOLS)}`,
  );
}

function checkService(flags: FlagValues): void {
  const kind = flags.string('service-kind', 'triton');
  if (kind !== 'triton')
    throw new UsageError(
      `--service-kind ${kind} is not part of goodput yet: only triton, which is any KServe v2 server`,
    );
}

type Recording = ReturnType<typeof readRecording>;

function readInputs(path: string, model: string): Recording {
  try {
    return readRecording(path, model);
  } catch (error) {
    throw new UsageError(`--input-data: ${errorMessage(error)}`);
  }
}

function modelOf(flags: FlagValues): readonly [name: string, version: string] {
  const name = flags.optional('model-name');
  if (name === undefined || name === '') throw new UsageError('-m MODEL is required: the model to load');
  const version = flags.string('model-version', '');
  const [, base, own] = /^(.+):(\d+)$/.exec(name) ?? [];
  return version === '' && base !== undefined && own !== undefined ? [base, own] : [name, version];
}

function compressionOf(flags: FlagValues, protocol: Protocol): PerfOptions['compression'] {
  const name = protocol === 'grpc' ? 'grpc-compression-algorithm' : 'http-compression-algorithm';
  return flags.string(name, 'none') as PerfOptions['compression'];
}

function endpointOf(flags: FlagValues, protocol: Protocol): Endpoint {
  const url = flags.string('url', protocol === 'http' ? 'localhost:8000' : 'localhost:8001');
  const tls = protocol === 'grpc' ? grpcTls(flags) : url.startsWith('https://') ? httpsTls(flags) : undefined;
  return serverAddress(url, protocol === 'http' ? 8000 : 8001, tls);
}

function grpcTls(flags: FlagValues): ClientTls | undefined {
  const names = [
    'ssl-grpc-root-certifications-file',
    'ssl-grpc-certificate-chain-file',
    'ssl-grpc-private-key-file',
  ] as const;
  if (!flags.boolean('ssl-grpc-use-ssl', false)) return undefined;
  const [authorities, cert, key] = names.map((name) => fileOf(flags, name));
  return { authorities, cert, key };
}

function httpsTls(flags: FlagValues): ClientTls {
  return {
    authorities: fileOf(flags, 'ssl-https-ca-certificates-file'),
    cert: fileOf(flags, 'ssl-https-client-certificate-file'),
    key: fileOf(flags, 'ssl-https-private-key-file'),
    anyCertificate: flags.number('ssl-https-verify-peer', 1) === 0,
    anyName: flags.number('ssl-https-verify-host', 2) === 0,
  };
}

function fileOf(flags: FlagValues, name: string): Buffer | undefined {
  const path = flags.optional(name);
  return path === undefined ? undefined : readFile(name, path);
}

function readFile(flag: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(`--${flag}: cannot read '${path}': ${errorMessage(error)}`);
  }
}

/** A server's address, as a flag gives it. */
export function serverAddress(url: string, port: number, tls?: ClientTls): Endpoint {
  try {
    return parseEndpoint(url, port, tls);
  } catch (error) {
    throw new UsageError(errorMessage(error));
  }
}

function metricsUrl(url: string): { readonly endpoint: Endpoint; readonly path: string } {
  const [, address = '', path = ''] = /^((?:[a-z]+:\/\/)?[^/]+)(\/.*)?$/.exec(url) ?? [];
  return { endpoint: serverAddress(address === '' ? url : address, 8002), path: path === '' ? '/metrics' : path };
}

function parseHeader(text: string): readonly [string, string] {
  const colon = text.indexOf(':');
  if (colon <= 0 || /[\r\n]/.test(text)) throw new UsageError(`-H must be NAME:VALUE, got '${text}'`);
  return [text.slice(0, colon).trim(), text.slice(colon + 1).trim()];
}

function parseComposing(text: string): PerfOptions['composing'][number] {
  const [, name = '', version = ''] = /^([^:]+)(?::(\d+))?$/.exec(text.trim()) ?? [];
  if (name === '')
    throw new UsageError(`--bls-composing-models must be MODEL or MODEL:VERSION, with commas between, got '${text}'`);
  return { name, version };
}

function parseShape(text: string): readonly [string, readonly number[]] {
  const colon = text.lastIndexOf(':');
  const dims = text
    .slice(colon + 1)
    .split(',')
    .map(Number);
  if (colon <= 0 || dims.some((dim) => !Number.isInteger(dim) || dim < 0)) {
    throw new UsageError(`--shape must be NAME:D,D,... with dimensions of 0 or more, got '${text}'`);
  }
  return [text.slice(0, colon), dims];
}

function parseParameter(text: string): readonly [string, ParameterValue] {
  const [, name = '', value = '', type = ''] = /^([^:]+):(.*):(\w+)$/.exec(text) ?? [];
  switch (type) {
    case 'string':
      return [name, value];
    case 'bool':
      if (value === 'true' || value === 'false') return [name, value === 'true'];
      break;
    case 'int':
    case 'uint':
      if (/^-?\d+$/.test(value)) return [name, BigInt(value)];
      break;
    case 'float':
    case 'double':
      if (value !== '' && Number.isFinite(Number(value))) return [name, Number(value)];
      break;
  }
  throw new UsageError(
    `--request-parameter must be NAME:VALUE:TYPE with a type of bool, int, uint, float or string, got '${text}'`,
  );
}

function sequenceIds(text: string): { readonly firstId: number; readonly endId: number | undefined } {
  const [, start = '', end] = /^(\d+)(?::(\d+))?$/.exec(text) ?? [];
  const firstId = Number(start);
  const endId = end === undefined ? undefined : Number(end);
  if (start === '' || firstId < 1 || (endId !== undefined && endId <= firstId)) {
    throw new UsageError(`--sequence-id-range must be START or START:END with 0 < START < END, got '${text}'`);
  }
  return { firstId, endId };
}

function inputsOf(flags: FlagValues): InputSource {
  const given = [...flags.all('input-data'), ...flags.all('data-directory')];
  if (flags.boolean('zero-data', false) || given.includes('zero')) return { kind: 'zero' };
  if (given.length === 0 || given.includes('random')) return { kind: 'random' };
  const [first] = given;
  if (given.length === 1 && first !== undefined && isRecording(first)) return { kind: 'recording', path: first };
  return { kind: 'files', paths: given };
}

const MODES = ['concurrency-range', 'request-rate-range', 'request-intervals', 'periodic-concurrency-range'] as const;

/** Recorded requests come at their own times unless there is another load for them. */
function modeOf(flags: FlagValues, recording: Recording | undefined): LoadMode {
  const given = MODES.filter((name) => flags.has(name));
  if (given.length > 1) {
    throw new UsageError(
      `one kind of load at a time: ${given.map((name) => `--${name}`).join(' and ')} do not go together`,
    );
  }
  switch (given[0]) {
    case 'request-rate-range': {
      const levels = parseRange('request-rate-range', flags.string('request-rate-range', ''), false);
      return {
        kind: 'request_rate',
        levels,
        distribution: flags.string('request-distribution', 'constant') === 'poisson' ? 'poisson' : 'constant',
      };
    }
    case 'request-intervals':
      return { kind: 'intervals', intervals: readIntervals(flags.string('request-intervals', '')) };
    case 'periodic-concurrency-range':
      return {
        kind: 'periodic',
        levels: parseRange('periodic-concurrency-range', flags.string('periodic-concurrency-range', ''), true),
        period: flags.number('request-period', 10),
      };
    case 'concurrency-range':
      return {
        kind: 'concurrency',
        levels: parseRange('concurrency-range', flags.string('concurrency-range', ''), true),
      };
    case undefined:
      if (recording && !flags.has('max-concurrency')) return { kind: 'intervals', intervals: recording.intervals };
      return { kind: 'concurrency', levels: oldConcurrency(flags) };
    default:
      return given[0] satisfies never;
  }
}

/** `-t`, `-c` and a bare `-d`, as perf_analyzer had them before `--concurrency-range`. */
function oldConcurrency(flags: FlagValues): Range {
  const start = flags.number('start-concurrency', 1);
  if (flags.boolean('dynamic-concurrency', false)) return { start, end: flags.number('max-concurrency', 0), step: 1 };
  const level = flags.number('max-concurrency', start);
  return { start: level, end: level, step: 1 };
}

function parseRange(flag: string, text: string, whole: boolean): Range {
  const numbers = text.split(':').map(Number);
  const [start = 0, end = start, step = 1] = numbers;
  const valid =
    numbers.length <= 3 && !/(^|:)(:|$)/.test(text) && numbers.every((value) => Number.isFinite(value) && value >= 0);
  if (!valid || (whole && numbers.some((value) => !Number.isInteger(value)))) {
    throw new UsageError(
      `--${flag} must be START, START:END or START:END:STEP${whole ? ' in whole numbers' : ''}, got '${text}'`,
    );
  }
  if (start <= 0) throw new UsageError(`--${flag}: the start of the search range must be > 0, got '${text}'`);
  if (step <= 0) throw new UsageError(`--${flag}: the step must be > 0, got '${text}'`);
  if (end !== 0 && end < start) throw new UsageError(`--${flag}: the end ${end} is below the start ${start}`);
  return { start, end, step };
}

function readIntervals(path: string): readonly number[] {
  const lines = readFile('request-intervals', path)
    .toString()
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const intervals = lines.map((line) => {
    const micros = Number(line);
    if (!(micros > 0))
      throw new UsageError(`--request-intervals: '${line}' in '${path}' is no number of microseconds above 0`);
    return micros * 1000;
  });
  if (intervals.length === 0) throw new UsageError(`--request-intervals: '${path}' has no intervals`);
  return intervals;
}

function checkSearch(mode: LoadMode, binary: boolean, limit: number): void {
  if (mode.kind !== 'concurrency' && mode.kind !== 'request_rate') {
    if (binary) throw new UsageError('--binary-search needs a --concurrency-range or --request-rate-range to search');
    return;
  }
  const { start, end } = mode.levels;
  if (end === 0 && limit === 0)
    throw new UsageError('a range without an end needs --latency-threshold, or it would never end');
  if (binary && (limit === 0 || end <= start)) {
    throw new UsageError('--binary-search needs a range with a start and an end, and --latency-threshold to look for');
  }
}

function measuringOf(flags: FlagValues, mode: LoadMode, recording: Recording | undefined): Measuring {
  const intervalMs = flags.number('measurement-interval', 5000);
  const count = flags.number('request-count', 0);
  const seconds = flags.has('duration') ? flags.number('duration', 0) : flags.number('duration-ms', 0) / 1000;
  if (count > 0 && seconds > 0) throw new UsageError('--request-count and --duration do not go together');
  if (count > 0) {
    if (mode.kind === 'concurrency' && count < mode.levels.end) {
      throw new UsageError(`--request-count ${count} is less than the concurrency of ${mode.levels.end}`);
    }
    return { kind: 'count', requests: count };
  }
  if (seconds > 0) return { kind: 'duration', seconds, intervalMs: Math.min(intervalMs, seconds * 1000) };
  if (recording && mode.kind === 'intervals') return { kind: 'count', requests: recording.steps.length };
  if (mode.kind === 'periodic') return { kind: 'duration', seconds: intervalMs / 1000, intervalMs };
  return {
    kind: 'windows',
    intervalMs,
    requests:
      flags.string('measurement-mode', 'time_windows') === 'count_windows'
        ? flags.number('measurement-request-count', 50)
        : 0,
    stabilityPercent: flags.number('stability-percentage', 10),
    maxTrials: flags.number('max-trials', 10),
  };
}
