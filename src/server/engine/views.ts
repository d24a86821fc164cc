import { platformOfBackend } from '../../repository/index.ts';
import type { DataType, Shape } from '../../tensor/index.ts';
import type { BatchReason } from '../schedulers/index.ts';
import type { LoadedModel } from './loaded-model.ts';
import type { BatchStatistic, DurationStatistic, ResponseStatistic } from './statistics.ts';
import { publicShape } from './tensor-spec.ts';

/** A model's metadata, as both protocols show it. */
export interface ModelMetadata {
  readonly name: string;
  readonly versions: readonly string[];
  readonly platform: string;
  readonly inputs: readonly TensorMetadata[];
  readonly outputs: readonly TensorMetadata[];
  /** What the backend tells about the model's file. HTTP only: the protocol's gRPC message has no place for it. */
  readonly properties?: Readonly<Record<string, string>>;
}

export interface TensorMetadata {
  readonly name: string;
  readonly datatype: DataType;
  readonly shape: Shape;
}

export function modelMetadata(model: LoadedModel, versions: readonly number[]): ModelMetadata {
  const { config } = model;
  const tensors = (specs: LoadedModel['inputs']): readonly TensorMetadata[] =>
    specs.map((spec) => ({ name: spec.name, datatype: spec.datatype, shape: publicShape(spec, model.batching) }));
  return {
    name: model.name,
    versions: versions.map(String),
    platform: config.platform !== '' ? config.platform : (platformOfBackend(config.backend) ?? config.backend),
    inputs: tensors(model.inputs),
    outputs: tensors(model.outputs),
    ...(model.properties ? { properties: model.properties } : {}),
  };
}

interface DurationView {
  readonly count: number;
  readonly ns: number;
}

/** A model version's statistics under the field names of the statistics extension. */
export interface StatisticsView {
  readonly name: string;
  readonly version: string;
  readonly last_inference: number;
  readonly inference_count: number;
  readonly execution_count: number;
  readonly inference_stats: Readonly<Record<InferenceStatistic, DurationView>>;
  readonly response_stats: Readonly<Record<string, Readonly<Record<ResponseStatisticName, DurationView>>>>;
  readonly batch_stats: readonly (Readonly<
    Record<'compute_input' | 'compute_infer' | 'compute_output', DurationView>
  > & {
    readonly batch_size: number;
  })[];
}

type InferenceStatistic =
  | 'success'
  | 'fail'
  | 'queue'
  | 'compute_input'
  | 'compute_infer'
  | 'compute_output'
  | 'cache_hit'
  | 'cache_miss';

type ResponseStatisticName = 'compute_infer' | 'compute_output' | 'success' | 'fail' | 'empty_response' | 'cancel';

const duration = ({ count, ns }: DurationStatistic): DurationView => ({ count, ns: Math.round(ns) });

export function statisticsView({ name, version, statistics }: LoadedModel): StatisticsView {
  return {
    name,
    version: String(version),
    last_inference: statistics.lastInferenceMillis,
    inference_count: statistics.inferenceCount,
    execution_count: statistics.executionCount,
    inference_stats: {
      success: duration(statistics.success),
      fail: duration(statistics.fail),
      queue: duration(statistics.queue),
      compute_input: duration(statistics.computeInput),
      compute_infer: duration(statistics.computeInfer),
      compute_output: duration(statistics.computeOutput),
      cache_hit: duration(statistics.cacheHits),
      cache_miss: duration(statistics.cacheMisses),
    },
    response_stats: Object.fromEntries(
      [...statistics.responses]
        .toSorted(([a], [b]) => a - b)
        .map(([position, entry]) => [position, responseView(entry)]),
    ),
    batch_stats: [...statistics.batches].toSorted(([a], [b]) => a - b).map(batchView),
  };
}

/** Executions by batch size and by what closed the batch. */
export interface BatchingView {
  readonly model_name: string;
  readonly model_version: string;
  readonly max_batch_size: number;
  readonly scheduler: string;
  readonly pending_requests: number;
  readonly batches: readonly {
    readonly batch_size: number;
    readonly executions: number;
    readonly reasons: Readonly<Partial<Record<BatchReason, number>>>;
  }[];
}

export function batchingView(model: LoadedModel): BatchingView {
  const { batchReasons } = model.statistics;
  return {
    model_name: model.name,
    model_version: String(model.version),
    max_batch_size: model.maxBatchSize,
    scheduler: SCHEDULER_NAMES[model.config.schedulingChoice.case ?? 'none'],
    pending_requests: model.pending,
    batches: [...batchReasons]
      .toSorted(([a], [b]) => a - b)
      .map(([size, reasons]) => ({
        batch_size: size,
        executions: [...reasons.values()].reduce((sum, count) => sum + count, 0),
        reasons: Object.fromEntries(reasons),
      })),
  };
}

const SCHEDULER_NAMES = {
  dynamicBatching: 'dynamic_batching',
  sequenceBatching: 'sequence_batching',
  ensembleScheduling: 'ensemble_scheduling',
  none: 'default',
} as const;

function responseView(entry: ResponseStatistic): Readonly<Record<ResponseStatisticName, DurationView>> {
  return {
    compute_infer: duration(entry.computeInfer),
    compute_output: duration(entry.computeOutput),
    success: duration(entry.success),
    fail: duration(entry.fail),
    empty_response: duration(entry.emptyResponse),
    cancel: duration(entry.cancel),
  };
}

function batchView([size, batch]: readonly [number, BatchStatistic]): StatisticsView['batch_stats'][number] {
  return {
    batch_size: size,
    compute_input: duration(batch.computeInput),
    compute_infer: duration(batch.computeInfer),
    compute_output: duration(batch.computeOutput),
  };
}
