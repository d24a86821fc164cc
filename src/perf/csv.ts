import type { CollectedMetric, MetricValues } from './metrics-collector.ts';
import type { ModelInfo } from './model-info.ts';
import type { PerfOptions } from './options.ts';
import { clientTimes, type LevelResult, micros, percentiles, significant } from './report.ts';

/** Columns that `--verbose-csv` adds for `--collect-metrics`. */
const METRIC_COLUMNS: readonly (readonly [string, CollectedMetric])[] = [
  ['Avg GPU Utilization', 'nv_gpu_utilization'],
  ['Avg GPU Power Usage', 'nv_gpu_power_usage'],
  ['Max GPU Memory Usage', 'nv_gpu_memory_used_bytes'],
  ['Total GPU Memory', 'nv_gpu_memory_total_bytes'],
];

/** The results as perf_analyzer's CSV report, rows by throughput. Times are microseconds. */
export function csvReport(
  results: readonly LevelResult[],
  model: ModelInfo,
  options: PerfOptions,
  verbose: boolean,
): string {
  const { mode, percentile } = options;
  const cached = model.responseCache;
  const level = mode.kind === 'concurrency' || mode.kind === 'periodic' ? 'Concurrency' : 'Request Rate';
  const withMetrics = verbose && options.metricsEndpoint !== undefined;
  const header = [
    level,
    'Inferences/Second',
    'Client Send',
    'Network+Server Send/Recv',
    'Server Queue',
    'Server Compute Input',
    'Server Compute Infer',
    'Server Compute Output',
    ...(cached ? ['Server Cache Hit', 'Server Cache Miss'] : []),
    'Client Recv',
    ...percentiles(percentile).map((percent) => `p${percent} latency`),
    ...(verbose && percentile === undefined ? ['Avg latency'] : []),
    ...(verbose ? ['request/response', 'response wait'] : []),
    ...(withMetrics ? METRIC_COLUMNS.map(([title]) => title) : []),
  ];
  const ordered = results.toSorted((a, b) => a.measurement.throughput - b.measurement.throughput);
  const rows = ordered.map(({ level: value, measurement }) => {
    const { recorder, server, metrics } = measurement;
    const times = clientTimes(recorder);
    const average = server[0]?.average;
    const inServer = average
      ? average.queue +
        average.computeInput +
        average.computeInfer +
        average.computeOutput +
        average.cacheHit +
        average.cacheMiss
      : 0;
    return [
      significant(value),
      significant(measurement.throughput),
      micros(times.send),
      micros(Math.max(0, times.total - times.send - times.receive - inServer)),
      micros(average?.queue ?? 0),
      micros(average?.computeInput ?? 0),
      micros(average?.computeInfer ?? 0),
      micros(average?.computeOutput ?? 0),
      ...(cached ? [micros(average?.cacheHit ?? 0), micros(average?.cacheMiss ?? 0)] : []),
      micros(times.receive),
      ...percentiles(percentile).map((percent) => micros(recorder.latency.percentile(percent))),
      ...(verbose && percentile === undefined ? [micros(recorder.latency.average)] : []),
      ...(verbose ? [micros(times.send + times.receive), micros(times.wait)] : []),
      ...(withMetrics ? METRIC_COLUMNS.map(([, metric]) => byDevice(metrics, metric)) : []),
    ];
  });
  return [header, ...rows]
    .map((cells) => cells.join(','))
    .join('\n')
    .concat('\n');
}

function byDevice(metrics: MetricValues | undefined, metric: CollectedMetric): string {
  return [...(metrics?.get(metric) ?? [])].map(([device, value]) => `${device}:${significant(value)};`).join('');
}
