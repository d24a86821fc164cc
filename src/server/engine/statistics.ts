import type { InferenceOutcome } from '../../protocol/index.ts';
import { Histogram, type Summary } from '../../telemetry/index.ts';
import type { BatchReason, Execution } from '../schedulers/index.ts';

/** A count and the nanoseconds that go with it (Triton's `StatisticDuration`). */
export class DurationStatistic {
  count = 0;
  ns = 0;

  add(count: number, ns: number): void {
    this.count += count;
    this.ns += ns;
  }
}

export const FAILURE_REASONS = ['REJECTED', 'CANCELED', 'BACKEND', 'OTHER'] as const;
export type FailureReason = (typeof FAILURE_REASONS)[number];

/** Executions of one batch size. */
export interface BatchStatistic {
  readonly computeInput: DurationStatistic;
  readonly computeInfer: DurationStatistic;
  readonly computeOutput: DurationStatistic;
}

/** What became of the responses of one position: a decoupled model's first, second and so on. */
export interface ResponseStatistic {
  readonly computeInfer: DurationStatistic;
  readonly computeOutput: DurationStatistic;
  readonly success: DurationStatistic;
  readonly fail: DurationStatistic;
  readonly emptyResponse: DurationStatistic;
  readonly cancel: DurationStatistic;
}

/** Positions beyond this one are counted together with it: a long generation is not a long statistics page. */
const MAX_RESPONSE_POSITIONS = 64;

/** The stages whose latency is kept as a histogram, in microseconds; `compute` is all three compute stages. */
const STAGES = ['request', 'queue', 'compute_input', 'compute_infer', 'compute_output', 'compute'] as const;
export type Stage = (typeof STAGES)[number];

const SUMMARIES = [
  'request',
  'queue',
  'compute_input',
  'compute_infer',
  'compute_output',
  'cache_hit',
  'cache_miss',
] as const;
export type SummaryName = (typeof SUMMARIES)[number];

/** Upper bounds of the first-response histogram, in milliseconds. */
const FIRST_RESPONSE_BUCKETS_MS: readonly number[] = [100, 500, 2000, 5000];

export interface StatisticsOptions {
  /** Makes one summary; `undefined` for none. */
  readonly summary?: (() => Summary) | undefined;
  readonly firstResponseBuckets?: readonly number[] | undefined;
}

/** Everything counted for one version of a model (https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md). */
export class ModelStatistics {
  /** `undefined` unless the server keeps summaries. */
  readonly summaries: Readonly<Record<SummaryName, Summary>> | undefined;
  /** From request to first response of a decoupled model, in milliseconds. */
  readonly firstResponse: Histogram;

  constructor({ summary, firstResponseBuckets = FIRST_RESPONSE_BUCKETS_MS }: StatisticsOptions = {}) {
    this.summaries =
      summary && (Object.fromEntries(SUMMARIES.map((name) => [name, summary()])) as Record<SummaryName, Summary>);
    this.firstResponse = new Histogram(firstResponseBuckets);
  }

  lastInferenceMillis = 0;
  inferenceCount = 0;
  executionCount = 0;
  readonly success = new DurationStatistic();
  readonly fail = new DurationStatistic();
  readonly queue = new DurationStatistic();
  readonly computeInput = new DurationStatistic();
  readonly computeInfer = new DurationStatistic();
  readonly computeOutput = new DurationStatistic();
  readonly cacheHits = new DurationStatistic();
  readonly cacheMisses = new DurationStatistic();
  readonly batches = new Map<number, BatchStatistic>();
  /** Executions by batch size and by why the batch had that size. */
  readonly batchReasons = new Map<number, Map<BatchReason, number>>();
  readonly responses = new Map<number, ResponseStatistic>();
  readonly failures: Record<FailureReason, number> = { REJECTED: 0, CANCELED: 0, BACKEND: 0, OTHER: 0 };
  readonly stages: Record<Stage, Histogram> = {
    request: new Histogram(),
    queue: new Histogram(),
    compute_input: new Histogram(),
    compute_infer: new Histogram(),
    compute_output: new Histogram(),
    compute: new Histogram(),
  };

  /** A request was answered. */
  succeeded(totalNs: number, atMillis: number): void {
    this.success.add(1, totalNs);
    this.stages.request.observe(totalNs / 1000);
    this.summaries?.request.observe(Math.round(totalNs / 1000));
    this.lastInferenceMillis = atMillis;
  }

  /** A request was answered from the cache. */
  cacheHit(lookupNs: number, queueNs: number): void {
    this.cacheHits.add(1, lookupNs);
    this.queue.add(1, queueNs);
    this.summaries?.cache_hit.observe(Math.round(lookupNs / 1000));
    this.summaries?.queue.observe(Math.round(queueNs / 1000));
  }

  /** A request was answered by the model, and the answer put into the cache. */
  cacheMiss(ns: number): void {
    this.cacheMisses.add(1, ns);
    this.summaries?.cache_miss.observe(Math.round(ns / 1000));
  }

  /** A decoupled model gave a response. */
  responded(position: number, ns: number, kind: InferenceOutcome['kind']): void {
    const at = Math.min(position, MAX_RESPONSE_POSITIONS - 1);
    let statistic = this.responses.get(at);
    if (!statistic) {
      statistic = {
        computeInfer: new DurationStatistic(),
        computeOutput: new DurationStatistic(),
        success: new DurationStatistic(),
        fail: new DurationStatistic(),
        emptyResponse: new DurationStatistic(),
        cancel: new DurationStatistic(),
      };
      this.responses.set(at, statistic);
    }
    if (kind === 'empty-final') {
      statistic.emptyResponse.add(1, ns);
      return;
    }
    statistic.computeInfer.add(1, ns);
    statistic.computeOutput.add(1, 0);
    (kind === 'error' ? statistic.fail : statistic.success).add(1, ns);
  }

  failed(totalNs: number, reason: FailureReason): void {
    this.fail.add(1, totalNs);
    this.failures[reason]++;
  }

  /**
   * A batch was executed. Cumulative times count it once per request that succeeded, as in Triton, so that a ratio to
   * the request count is a mean per request.
   */
  executed({ requests, rows, report, startedAt, reason }: Execution): void {
    this.executionCount++;
    this.inferenceCount += rows;
    for (const request of requests) {
      const queueNs = startedAt - request.enqueuedAt;
      this.queue.add(1, queueNs);
      this.stages.queue.observe(queueNs / 1000);
      this.stages.compute_input.observe(report.computeInputNs / 1000);
      this.stages.compute_infer.observe(report.computeInferNs / 1000);
      this.stages.compute_output.observe(report.computeOutputNs / 1000);
      if (this.summaries) {
        this.summaries.queue.observe(Math.round(queueNs / 1000));
        this.summaries.compute_input.observe(Math.round(report.computeInputNs / 1000));
        this.summaries.compute_infer.observe(Math.round(report.computeInferNs / 1000));
        this.summaries.compute_output.observe(Math.round(report.computeOutputNs / 1000));
      }
      this.stages.compute.observe((report.computeInputNs + report.computeInferNs + report.computeOutputNs) / 1000);
    }
    this.computeInput.add(requests.length, report.computeInputNs * requests.length);
    this.computeInfer.add(requests.length, report.computeInferNs * requests.length);
    this.computeOutput.add(requests.length, report.computeOutputNs * requests.length);
    const reasons = this.batchReasons.get(rows) ?? new Map<BatchReason, number>();
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    this.batchReasons.set(rows, reasons);
    const batch = this.batch(rows);
    batch.computeInput.add(1, report.computeInputNs);
    batch.computeInfer.add(1, report.computeInferNs);
    batch.computeOutput.add(1, report.computeOutputNs);
  }

  private batch(size: number): BatchStatistic {
    const known = this.batches.get(size);
    if (known) return known;
    const fresh: BatchStatistic = {
      computeInput: new DurationStatistic(),
      computeInfer: new DurationStatistic(),
      computeOutput: new DurationStatistic(),
    };
    this.batches.set(size, fresh);
    return fresh;
  }
}
