import type { MetricFamily } from '../../../telemetry/index.ts';
import type { LoadedModel, ModelStatistics, SummaryName } from '../../engine/index.ts';

/** A family with one sample per model version. */
export interface ModelFamily extends MetricFamily {
  /** A cumulative duration: off with `--metrics-config counter_latencies=false`. */
  readonly latency?: boolean;
  readonly value: (model: LoadedModel) => number;
}

const us = (ns: number): number => Math.round(ns / 1000);
const failures = (statistics: ModelStatistics): number =>
  Object.values(statistics.failures).reduce((sum, count) => sum + count, 0);

/**
 * Triton's counters and gauges by model and version
 * (https://github.com/triton-inference-server/server/blob/main/docs/user_guide/metrics.md).
 */
export const TRITON_FAMILIES: readonly ModelFamily[] = [
  {
    name: 'nv_inference_request_success',
    type: 'counter',
    help: 'Number of successful inference requests, all batch sizes',
    value: (model) => model.statistics.success.count,
  },
  {
    name: 'nv_inference_count',
    type: 'counter',
    help: 'Number of inferences performed (a batch of n counts n; cached requests do not count)',
    value: (model) => model.statistics.inferenceCount,
  },
  {
    name: 'nv_inference_exec_count',
    type: 'counter',
    help: 'Number of model executions performed (cached requests do not count)',
    value: (model) => model.statistics.executionCount,
  },
  {
    name: 'nv_inference_request_duration_us',
    latency: true,
    type: 'counter',
    help: 'Cumulative inference request duration in microseconds, from arrival to answer',
    value: (model) => us(model.statistics.success.ns),
  },
  {
    name: 'nv_inference_queue_duration_us',
    latency: true,
    type: 'counter',
    help: 'Cumulative time that requests waited in the queue in microseconds',
    value: (model) => us(model.statistics.queue.ns),
  },
  {
    name: 'nv_inference_compute_input_duration_us',
    latency: true,
    type: 'counter',
    help: 'Cumulative time to prepare inputs in microseconds',
    value: (model) => us(model.statistics.computeInput.ns),
  },
  {
    name: 'nv_inference_compute_infer_duration_us',
    latency: true,
    type: 'counter',
    help: 'Cumulative time that the model executed in microseconds',
    value: (model) => us(model.statistics.computeInfer.ns),
  },
  {
    name: 'nv_inference_compute_output_duration_us',
    latency: true,
    type: 'counter',
    help: 'Cumulative time to take outputs out in microseconds',
    value: (model) => us(model.statistics.computeOutput.ns),
  },
  {
    name: 'nv_inference_pending_request_count',
    type: 'gauge',
    help: 'Number of requests waiting for an instance of the model now',
    value: (model) => model.pending,
  },
];

/** Counted per reason: exists at 0 from the moment a model is loaded. */
export const FAILURE_FAMILY: MetricFamily = {
  name: 'nv_inference_request_failure',
  type: 'counter',
  help: 'Number of failed inference requests by reason, all batch sizes',
};

/** Counts under the names that dashboards built from older guides use. */
export const TRITON_ALIAS_FAMILIES: readonly ModelFamily[] = [
  {
    name: 'triton_infer_total_request_count',
    type: 'counter',
    help: 'Number of inference requests answered, with success or failure',
    value: (model) => model.statistics.success.count + failures(model.statistics),
  },
  {
    name: 'triton_infer_success_count',
    type: 'counter',
    help: 'Number of successful inference requests',
    value: (model) => model.statistics.success.count,
  },
  {
    name: 'triton_infer_failure_count',
    type: 'counter',
    help: 'Number of failed inference requests',
    value: (model) => failures(model.statistics),
  },
];

type Histogram = ModelStatistics['stages']['request'];

/** A family that carries both a bare cumulative sum and `le` samples under one name. */
export interface DualFamily extends MetricFamily {
  readonly total: (statistics: ModelStatistics) => number;
  readonly histogram: (statistics: ModelStatistics) => Histogram;
}

const computeNs = (statistics: ModelStatistics): number =>
  statistics.computeInput.ns + statistics.computeInfer.ns + statistics.computeOutput.ns;

/**
 * Durations in microseconds. The sample without `le` is the cumulative sum, for ratios; those with `le` are cumulative
 * counts, for `histogram_quantile(0.99, triton_infer_request_duration_us)`, which reads only them.
 */
export const TRITON_DUAL_FAMILIES: readonly DualFamily[] = [
  {
    name: 'triton_infer_request_duration_us',
    type: 'untyped',
    help: 'Request duration in microseconds: cumulative sum without le, cumulative counts with le',
    total: (statistics) => us(statistics.success.ns),
    histogram: (statistics) => statistics.stages.request,
  },
  {
    name: 'triton_infer_queue_duration_us',
    type: 'untyped',
    help: 'Queue duration in microseconds: cumulative sum without le, cumulative counts with le',
    total: (statistics) => us(statistics.queue.ns),
    histogram: (statistics) => statistics.stages.queue,
  },
  {
    name: 'triton_infer_compute_duration_us',
    type: 'untyped',
    help: 'Compute duration (input, inference, output) in microseconds: cumulative sum without le, cumulative counts with le',
    total: (statistics) => us(computeNs(statistics)),
    histogram: (statistics) => statistics.stages.compute,
  },
];

/** Latency histograms by stage, in seconds. */
export const STAGE_FAMILIES: readonly (MetricFamily & { readonly stage: keyof ModelStatistics['stages'] })[] = [
  {
    name: 'goodput_inference_request_duration_seconds',
    type: 'histogram',
    stage: 'request',
    help: 'Duration of successful requests, from arrival to answer',
  },
  {
    name: 'goodput_inference_queue_duration_seconds',
    type: 'histogram',
    stage: 'queue',
    help: 'Time that requests waited in the queue',
  },
  {
    name: 'goodput_inference_compute_input_duration_seconds',
    type: 'histogram',
    stage: 'compute_input',
    help: 'Time to prepare the inputs of the batch that a request was in',
  },
  {
    name: 'goodput_inference_compute_infer_duration_seconds',
    type: 'histogram',
    stage: 'compute_infer',
    help: 'Execution time of the batch that a request was in',
  },
  {
    name: 'goodput_inference_compute_output_duration_seconds',
    type: 'histogram',
    stage: 'compute_output',
    help: 'Time to take out the outputs of the batch that a request was in',
  },
];

/** Of the machine, not of a model. */
export const CPU_FAMILIES = {
  utilization: {
    name: 'nv_cpu_utilization',
    type: 'gauge',
    help: 'CPU utilization rate [0.0 - 1.0] since the last scrape',
  },
  total: { name: 'nv_cpu_memory_total_bytes', type: 'gauge', help: 'CPU total memory (RAM), in bytes' },
  used: { name: 'nv_cpu_memory_used_bytes', type: 'gauge', help: 'CPU used memory (RAM), in bytes' },
} as const satisfies Record<string, MetricFamily>;

export const PROCESS_FAMILY: MetricFamily = {
  name: 'process_resident_memory_bytes',
  type: 'gauge',
  help: 'Resident memory of the server process, in bytes',
};

/** Of models whose responses are cached. */
export const CACHE_FAMILIES: readonly ModelFamily[] = [
  {
    name: 'nv_cache_num_hits_per_model',
    type: 'counter',
    help: 'Number of cache hits per model',
    value: (model) => model.statistics.cacheHits.count,
  },
  {
    name: 'nv_cache_num_misses_per_model',
    type: 'counter',
    help: 'Number of cache misses per model',
    value: (model) => model.statistics.cacheMisses.count,
  },
  {
    name: 'nv_cache_hit_duration_per_model',
    type: 'counter',
    latency: true,
    help: 'Total cache hit duration per model, in microseconds',
    value: (model) => us(model.statistics.cacheHits.ns),
  },
  {
    name: 'nv_cache_miss_duration_per_model',
    type: 'counter',
    latency: true,
    help: 'Total cache miss (lookup and insertion) duration per model, in microseconds',
    value: (model) => us(model.statistics.cacheMisses.ns),
  },
];

/** Quantiles of the last minute, in microseconds, with `--metrics-config summary_latencies=true`. */
export const SUMMARY_FAMILIES: readonly (MetricFamily & {
  readonly summary: SummaryName;
  /** Only of models whose responses are cached. */
  readonly cache?: boolean;
})[] = [
  {
    name: 'nv_inference_request_summary_us',
    type: 'summary',
    summary: 'request',
    help: 'Summary of inference request duration in microseconds (includes cached requests)',
  },
  {
    name: 'nv_inference_queue_summary_us',
    type: 'summary',
    summary: 'queue',
    help: 'Summary of inference queuing duration in microseconds (includes cached requests)',
  },
  {
    name: 'nv_inference_compute_input_summary_us',
    type: 'summary',
    summary: 'compute_input',
    help: 'Summary of compute input duration in microseconds (does not include cached requests)',
  },
  {
    name: 'nv_inference_compute_infer_summary_us',
    type: 'summary',
    summary: 'compute_infer',
    help: 'Summary of compute inference duration in microseconds (does not include cached requests)',
  },
  {
    name: 'nv_inference_compute_output_summary_us',
    type: 'summary',
    summary: 'compute_output',
    help: 'Summary of compute output duration in microseconds (does not include cached requests)',
  },
  {
    name: 'nv_cache_hit_summary_per_model',
    type: 'summary',
    summary: 'cache_hit',
    cache: true,
    help: 'Summary of cache hit counts and durations per model, in microseconds',
  },
  {
    name: 'nv_cache_miss_summary_per_model',
    type: 'summary',
    summary: 'cache_miss',
    cache: true,
    help: 'Summary of cache miss counts and durations per model, in microseconds',
  },
];

/** Of decoupled models, with `--metrics-config histogram_latencies=true`. */
export const FIRST_RESPONSE_FAMILY: MetricFamily = {
  name: 'nv_inference_first_response_histogram_ms',
  type: 'histogram',
  help: 'Duration from request to first response in milliseconds',
};
