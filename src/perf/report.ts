import type { Measurement } from './measure.ts';
import type { CollectedMetric, MetricValues } from './metrics-collector.ts';
import type { ModelInfo } from './model-info.ts';
import type { LoadMode, PerfOptions } from './options.ts';
import type { ServerWindow } from './server-window.ts';

/** What one level of a run gave. */
export interface LevelResult {
  /** Concurrent requests, or requests a second. */
  readonly level: number;
  readonly measurement: Measurement;
}

/** Microseconds without a fraction, as perf_analyzer writes all times. */
export function micros(nanoseconds: number): string {
  return String(Math.floor(nanoseconds / 1000));
}

/** Six significant digits, as C++ streams write numbers. */
export function significant(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(6))) : '0';
}

/** How the percentile or average that is looked at is called. */
function measuredBy(percentile: number | undefined): string {
  return percentile === undefined ? 'average' : `p${percentile}`;
}

/** The lines before the first level, as perf_analyzer writes them. */
export function settingsText(options: PerfOptions): string {
  const { measuring, mode, percentile, latencyLimitMs } = options;
  const lines = ['*** Measurement Settings ***', `  Batch size: ${options.batchSize}`, '  Service Kind: TRITON'];
  if (measuring.kind === 'count') lines.push(`  Sending ${measuring.requests} benchmark requests`);
  else if (measuring.kind === 'duration') lines.push(`  Measuring for ${measuring.seconds} sec`);
  else {
    lines.push(`  Using "${measuring.requests > 0 ? 'count_windows' : 'time_windows'}" mode for stabilization`);
    lines.push(
      `  Stabilizing using ${percentile === undefined ? 'average ' : `p${percentile} `}latency and throughput`,
    );
    if (measuring.requests > 0) lines.push(`  Minimum number of samples in each window: ${measuring.requests}`);
    else lines.push(`  Measurement window: ${measuring.intervalMs} msec`);
  }
  if (latencyLimitMs > 0) lines.push(`  Latency limit: ${latencyLimitMs} msec`);
  lines.push(...modeLines(mode));
  if (options.binarySearch) lines.push('  Using Binary Search algorithm');
  lines.push('  Using asynchronous calls for inference');
  return `${lines.join('\n')}\n\n`;
}

function modeLines(mode: LoadMode): readonly string[] {
  switch (mode.kind) {
    case 'concurrency':
      return mode.levels.end > mode.levels.start ? [`  Concurrency limit: ${mode.levels.end} concurrent requests`] : [];
    case 'request_rate':
      return [
        ...(mode.levels.end > mode.levels.start
          ? [`  Request Rate limit: ${mode.levels.end} requests per seconds`]
          : []),
        `  Using ${mode.distribution === 'poisson' ? 'poisson' : 'uniform'} distribution on request generation`,
      ];
    case 'intervals':
      return ['  Using the request intervals of a file'];
    case 'periodic':
      return [
        `  Concurrency goes from ${mode.levels.start} to ${mode.levels.end} by ${mode.levels.step} every ${mode.period} responses`,
      ];
    default:
      return mode satisfies never;
  }
}

/** The line that begins a level. */
export function levelTitle(mode: LoadMode, level: number): string {
  switch (mode.kind) {
    case 'concurrency':
      return `Request concurrency: ${level}\n`;
    case 'request_rate':
      return `Request Rate: ${significant(level)} inference requests per seconds\n`;
    case 'intervals':
      return '';
    case 'periodic':
      return `Periodic concurrency up to ${level}\n`;
    default:
      return mode satisfies never;
  }
}

/** A window, when they are shown. */
export function windowText(
  { throughput, latency }: { readonly throughput: number; readonly latency: number },
  number: number,
  { percentile }: PerfOptions,
): string {
  const label = percentile === undefined ? 'Avg' : `p${percentile}`;
  return `  Pass [${number}] throughput: ${significant(throughput)} infer/sec. ${label} latency: ${micros(latency)} usec\n`;
}

/** All that was measured at one level. */
export function levelText(
  { measurement }: LevelResult,
  model: ModelInfo,
  options: PerfOptions,
  verbose: boolean,
): string {
  const text = [clientText(measurement, model, options, verbose)];
  const [own, ...composing] = measurement.server;
  if (own) text.push(serverText(own, model, '  Server: ', '    '));
  if (composing.length > 0) text.push('\n  Composing models: \n');
  for (const each of composing)
    text.push(serverText(each, { ...model, scheduler: 'none' }, `  ${each.name}, version: ${each.version}`, '      '));
  if (measurement.metrics) text.push(metricsText(measurement.metrics));
  return text.join('');
}

function clientText(
  { recorder, throughput, stability, delivery, seconds }: Measurement,
  model: ModelInfo,
  { percentile, protocol, batchSize, mode, latencyLimitMs }: PerfOptions,
  verbose: boolean,
): string {
  const { latency, service } = recorder;
  const lines = ['  Client: ', `    Request count: ${recorder.succeeded}`];
  if (recorder.failed > 0) lines.push(`    Failed requests: ${recorder.failed}`);
  if (model.decoupled) {
    lines.push(`    Response Throughput: ${significant((recorder.responses * batchSize) / seconds)} infer/sec`);
  }
  lines.push(`    Throughput: ${significant(throughput)} infer/sec`);
  if (latencyLimitMs > 0) {
    const share = (recorder.good / Math.max(1, recorder.succeeded + recorder.failed)) * 100;
    const goodput = significant((recorder.good * batchSize) / seconds);
    lines.push(
      `    Goodput: ${goodput} infer/sec (${share.toFixed(2)} % of the requests succeeded within ${latencyLimitMs} msec)`,
    );
  }
  if (percentile === undefined) {
    lines.push(
      `    Avg latency: ${micros(latency.average)} usec (standard deviation ${micros(latency.standardDeviation)} usec)`,
    );
  }
  for (const percent of percentiles(percentile))
    lines.push(`    p${percent} latency: ${micros(latency.percentile(percent))} usec`);
  lines.push(`    p99.9 latency: ${micros(latency.percentile(99.9))} usec`);
  lines.push(`    ${transferLine(recorder, protocol, verbose)}`);
  if (mode.kind === 'request_rate' || mode.kind === 'intervals') {
    const { sendDelay } = recorder;
    const late = (recorder.late / Math.max(1, sendDelay.count)) * 100;
    lines.push(
      `    Send delay: p50 ${micros(sendDelay.percentile(50))} usec, p99 ${micros(sendDelay.percentile(99))} usec, more than 1 msec late: ${late.toFixed(2)} %`,
    );
    lines.push(
      `    Latency from the actual send: avg ${micros(service.average)} usec, p50 ${micros(service.percentile(50))} usec, p99 ${micros(service.percentile(99))} usec (those above count from the intended send)`,
    );
  }
  for (const [kind, count] of recorder.failures) lines.push(`    Failed ${count} times: ${kind}`);
  if (stability.kind === 'unstable') {
    const { low, high } = stability.interval;
    lines.push(`    UNSTABLE: ${stability.reason}`);
    lines.push(`    Throughput is ${significant(low)} to ${significant(high)} infer/sec with 95 % confidence`);
  }
  if (stability.kind === 'incomplete') lines.push(`    INCOMPLETE: ${stability.reason}`);
  if (delivery.kind === 'short') lines.push(`    INVALID: the load was not delivered. ${delivery.reason}`);
  return `${lines.join('\n')}\n`;
}

/** The percentiles of every report, and the one asked for. */
export function percentiles(wanted: number | undefined): readonly number[] {
  const usual = [50, 90, 95, 99];
  return wanted === undefined || usual.includes(wanted) ? usual : [...usual, wanted].toSorted((a, b) => a - b);
}

/** Averages of the client's own times, in nanoseconds by request. */
export function clientTimes({ succeeded, sendNs, receiveNs, service }: Measurement['recorder']): {
  readonly send: number;
  readonly wait: number;
  readonly receive: number;
  readonly total: number;
} {
  const send = succeeded > 0 ? sendNs / succeeded : 0;
  const receive = succeeded > 0 ? receiveNs / succeeded : 0;
  const total = service.average;
  return { send, receive, total, wait: Math.max(0, total - send - receive) };
}

function transferLine(recorder: Measurement['recorder'], protocol: PerfOptions['protocol'], verbose: boolean): string {
  const { send, wait, receive, total } = clientTimes(recorder);
  if (protocol === 'http') {
    const parts = verbose
      ? `send ${micros(send)} usec + response wait ${micros(wait)} usec + receive ${micros(receive)} usec`
      : `send/recv ${micros(send + receive)} usec + response wait ${micros(wait)} usec`;
    return `Avg HTTP time: ${micros(total)} usec (${parts})`;
  }
  const parts = verbose
    ? `marshal ${micros(send)} usec + response wait ${micros(wait)} usec + unmarshal ${micros(receive)} usec`
    : `(un)marshal request/response ${micros(send + receive)} usec + response wait ${micros(wait)} usec`;
  return `Avg gRPC time: ${micros(total)} usec (${parts})`;
}

function serverText(
  { inferences, executions, successes, cacheHits, average }: ServerWindow,
  model: ModelInfo,
  title: string,
  indent: string,
): string {
  const cached = model.responseCache || cacheHits > 0;
  const lines = [title, `${indent}Inference count: ${inferences}`, `${indent}Execution count: ${executions}`];
  if (cached) lines.push(`${indent}Cache hit count: ${cacheHits}`);
  lines.push(`${indent}Successful request count: ${successes}`);
  const parts = [`overhead ${micros(average.overhead)} usec`, `queue ${micros(average.queue)} usec`];
  if (cached) parts.push(`cache hit/miss ${micros(average.cacheHit + average.cacheMiss)} usec`);
  parts.push(
    `compute input ${micros(average.computeInput)} usec`,
    `compute infer ${micros(average.computeInfer)} usec`,
    `compute output ${micros(average.computeOutput)} usec`,
  );
  lines.push(`${indent}Avg request latency: ${micros(average.request)} usec (${parts.join(' + ')})`);
  return `${lines.join('\n')}\n\n`;
}

const METRIC_LINES: readonly (readonly [string, CollectedMetric, (value: number) => string])[] = [
  ['Avg GPU Utilization', 'nv_gpu_utilization', (value) => `${significant(value * 100)}%`],
  ['Avg GPU Power Usage', 'nv_gpu_power_usage', (value) => `${significant(value)} watts`],
  ['Max GPU Memory Usage', 'nv_gpu_memory_used_bytes', (value) => `${value} bytes`],
  ['Total GPU Memory', 'nv_gpu_memory_total_bytes', (value) => `${value} bytes`],
  ['Avg CPU Utilization', 'nv_cpu_utilization', (value) => `${significant(value * 100)}%`],
  ['Max CPU Memory Usage', 'nv_cpu_memory_used_bytes', (value) => `${value} bytes`],
];

function metricsText(metrics: MetricValues): string {
  const lines = ['  Server Prometheus Metrics: '];
  for (const [title, metric, format] of METRIC_LINES) {
    const devices = [...(metrics.get(metric) ?? [])];
    if (metric.startsWith('nv_cpu')) lines.push(...devices.map(([, value]) => `    ${title}: ${format(value)}`));
    else lines.push(`    ${title}:`, ...devices.map(([gpu, value]) => `      ${gpu} : ${format(value)}`));
  }
  return `${lines.join('\n')}\n`;
}

/** The lines after the last level. */
export function summaryText(results: readonly LevelResult[], { mode, percentile }: PerfOptions): string {
  const by = percentile === undefined ? 'Average' : measuredBy(percentile);
  const lines = [`Inferences/Second vs. Client ${by} Batch Latency`];
  for (const { level, measurement } of results) {
    const name =
      mode.kind === 'concurrency' ? 'Concurrency' : mode.kind === 'periodic' ? 'Periodic concurrency' : 'Request Rate';
    const marks = [
      measurement.stability.kind === 'unstable' ? ' (unstable)' : '',
      measurement.stability.kind === 'incomplete' ? ' (incomplete)' : '',
      measurement.delivery.kind === 'short' ? ' (invalid: load not delivered)' : '',
    ].join('');
    lines.push(
      `${name}: ${significant(level)}, throughput: ${significant(measurement.throughput)} infer/sec, latency ${micros(measurement.latency)} usec${marks}`,
    );
  }
  return `${lines.join('\n')}\n`;
}
