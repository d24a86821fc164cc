import { systemClock } from '../core/index.ts';
import { ClientError, createKserveClient } from '../client/index.ts';
import { type DataSet, loadInputs } from './input-data.ts';
import { ConcurrencyLoad, type Load, type LoadParts, ScheduledLoad } from './load.ts';
import { measure, type Window } from './measure.ts';
import { MetricsCollector } from './metrics-collector.ts';
import { type ModelInfo, readModel } from './model-info.ts';
import type { Distribution, PerfOptions } from './options.ts';
import { PerfError } from './perf-error.ts';
import { type Random, seededRandom } from './random.ts';
import { Recorder } from './recorder.ts';
import type { LevelResult } from './report.ts';
import { createGrpcEncoder, createHttpEncoder, type RequestEncoder, type RequestMemory } from './request.ts';
import { createSource, type RequestSource, SequenceSource } from './requests.ts';
import { search } from './search.ts';
import { SharedTensors } from './shared-memory.ts';
import { GrpcTransport, HttpTransport, type InferTransport, StreamTransport } from './transport.ts';
import { createValidator } from './validation.ts';

/** What is told while a run goes on. */
export interface PerfEvents {
  /** The server and the inputs are there. */
  began(model: ModelInfo): void;
  level(level: number): void;
  /** A window begins; what ends in it goes into the recorder. */
  windowBegins(recorder: Recorder, number: number): void;
  window(window: Window, number: number): void;
  result(result: LevelResult, model: ModelInfo): void;
}

/** What a run came to. */
export interface PerfRun {
  readonly model: ModelInfo;
  readonly results: readonly LevelResult[];
}

const SEED = 1;

/**
 * Loads a model as the options say and measures it.
 * @throws PerfError when nothing can be measured: no server, no such model, wrong inputs
 */
export async function runPerf(options: PerfOptions, events: PerfEvents, signal: AbortSignal): Promise<PerfRun> {
  const client = createKserveClient(options.protocol, options.endpoint, options.headers);
  const collector =
    options.metricsEndpoint &&
    new MetricsCollector(options.metricsEndpoint, options.metricsPath, options.metricsIntervalMs);
  let memory: SharedTensors | undefined;
  let transport: InferTransport | undefined;
  try {
    const model = await readModel(client, options.model, options.version, options.composing);
    checkModel(model, options);
    const random = seededRandom(SEED);
    const data = loadInputs(model, options, random);
    if (options.sharedMemory) memory = await SharedTensors.create(client, model, data, options);
    transport = createTransport(model, options);
    const open = transport;
    events.began(model);
    const context = {
      client,
      model,
      options,
      collector,
      signal,
      onWindowStart: (recorder: Recorder, number: number) => events.windowBegins(recorder, number),
      onWindow: (window: Window, number: number) => events.window(window, number),
    };
    const makeParts = (): LoadParts => ({
      transport: open,
      source: makeSource(model, data, options, memory, random),
      clock: systemClock,
      keep: options.exportRequests,
      validate: createValidator(model, options),
    });
    await warmUp(makeParts, open, options);
    const results = await search(searchOptions(options), async (level) => {
      if (signal.aborted) return undefined;
      events.level(level);
      const { load, begin } = await makeLoad(level, makeParts(), options, random);
      const measurement = await measure(load, begin, context);
      await load.stop();
      const result = { level: shownLevel(level, options), measurement };
      events.result(result, model);
      return result;
    });
    if (results.every(({ measurement }) => measurement.recorder.succeeded === 0)) throw nothingSucceeded(results);
    return { model, results };
  } catch (error) {
    throw error instanceof ClientError ? new PerfError(error.message) : error;
  } finally {
    collector?.stop();
    await memory?.[Symbol.asyncDispose]();
    transport?.close();
    client.close();
  }
}

function nothingSucceeded(results: readonly LevelResult[]): PerfError {
  const failures = results.flatMap(({ measurement }) => [...measurement.recorder.failures]);
  const [kind = 'none ended in time', count = 0] = failures.toSorted((a, b) => b[1] - a[1])[0] ?? [];
  return new PerfError(`no request succeeded: ${kind}${count > 0 ? ` (${count} times)` : ''}`);
}

function createTransport(
  { decoupled }: ModelInfo,
  { protocol, endpoint, headers, streaming, compression }: PerfOptions,
): InferTransport {
  if (protocol === 'http') return new HttpTransport(endpoint);
  const grpc = { endpoint, metadata: headers, compression };
  return streaming ? new StreamTransport(grpc, decoupled) : new GrpcTransport(grpc);
}

function checkModel(model: ModelInfo, { batchSize, streaming, sequences, mode }: PerfOptions): void {
  if (batchSize > Math.max(1, model.maxBatchSize)) {
    const limit = model.maxBatchSize === 0 ? 'does not take batches' : `takes batches of at most ${model.maxBatchSize}`;
    throw new PerfError(`-b ${batchSize}: model '${model.name}' ${limit}`);
  }
  if (model.decoupled && !streaming) {
    throw new PerfError(`model '${model.name}' is decoupled: it can only be asked with -i grpc --streaming`);
  }
  const { firstId, endId } = sequences;
  const atOnce = mode.kind === 'concurrency' ? mode.levels.end : sequences.count;
  if (model.scheduler === 'sequence' && endId !== undefined && endId - firstId < atOnce) {
    throw new PerfError(`--sequence-id-range has ${endId - firstId} ids, and there are ${atOnce} sequences at a time`);
  }
}

function makeSource(
  model: ModelInfo,
  data: DataSet,
  options: PerfOptions,
  memory: RequestMemory | undefined,
  random: Random,
): RequestSource {
  const encoder: RequestEncoder =
    options.protocol === 'http' ? createHttpEncoder(model, options, memory) : createGrpcEncoder(model, options, memory);
  return createSource(model, data, options, encoder, random);
}

async function warmUp(
  makeParts: () => LoadParts,
  transport: InferTransport,
  { warmupRequests }: PerfOptions,
): Promise<void> {
  if (warmupRequests === 0) return;
  await transport.open(1);
  const recorder = new Recorder(false);
  const load = new ConcurrencyLoad(makeParts(), recorder);
  await new Promise<void>((resolve) => {
    load.onEnd = () => recorder.succeeded + recorder.failed >= warmupRequests && resolve();
    load.start(1, warmupRequests);
  });
  await load.stop();
}

function searchOptions({ mode, binarySearch, latencyLimitMs }: PerfOptions): Parameters<typeof search>[0] {
  const one = { start: 1, end: 1, step: 1 };
  const levels = mode.kind === 'concurrency' || mode.kind === 'request_rate' ? mode.levels : one;
  return { levels, binary: binarySearch, latencyLimitNs: latencyLimitMs * 1e6 };
}

/** What a level is called in reports. */
function shownLevel(level: number, { mode }: PerfOptions): number {
  if (mode.kind === 'periodic') return mode.levels.end;
  if (mode.kind !== 'intervals') return level;
  const average = mode.intervals.reduce((sum, each) => sum + each, 0) / mode.intervals.length;
  return average > 0 ? Math.round(1e9 / average) : mode.intervals.length;
}

async function makeLoad(
  level: number,
  parts: LoadParts,
  options: PerfOptions,
  random: Random,
): Promise<{ readonly load: Load; readonly begin: () => void }> {
  const { mode, measuring, maxConnections, sequences } = options;
  const requests = measuring.kind === 'count' ? measuring.requests : Number.POSITIVE_INFINITY;
  const recorder = new Recorder(false);
  switch (mode.kind) {
    case 'concurrency': {
      await parts.transport.open(level);
      const load = new ConcurrencyLoad(parts, recorder);
      return { load, begin: () => load.start(level, requests) };
    }
    case 'periodic': {
      await parts.transport.open(mode.levels.end);
      return periodicLoad(parts, recorder, mode.levels, mode.period, requests);
    }
    case 'request_rate':
    case 'intervals': {
      const interval =
        mode.kind === 'intervals' ? cycle(mode.intervals) : intervalsOf(level, mode.distribution, random);
      const slots = parts.source instanceof SequenceSource ? sequences.count : maxConnections;
      await parts.transport.open(Math.min(slots, FIRST_CONNECTIONS));
      const load = new ScheduledLoad(parts, recorder, interval, slots);
      return { load, begin: () => load.start(requests) };
    }
    default:
      return mode satisfies never;
  }
}

/** Connections of rate modes that are opened before the first request. */
const FIRST_CONNECTIONS = 16;

function periodicLoad(
  parts: LoadParts,
  recorder: Recorder,
  { start, end, step }: { readonly start: number; readonly end: number; readonly step: number },
  period: number,
  requests: number,
): { readonly load: Load; readonly begin: () => void } {
  let level = start;
  let responses = 0;
  const load = new ConcurrencyLoad(parts, recorder, () => {
    responses++;
    if (responses % period !== 0 || level >= end) return;
    level = Math.min(end, level + step);
    load.start(level, requests);
  });
  return { load, begin: () => load.start(start, requests) };
}

function intervalsOf(rate: number, distribution: Distribution, random: Random): () => number {
  const mean = 1e9 / rate;
  return distribution === 'constant' ? () => mean : () => -Math.log(1 - random()) * mean;
}

function cycle(intervals: readonly number[]): () => number {
  let at = 0;
  return () => intervals[at++ % intervals.length] ?? 0;
}
