import type { Clock } from '../../core/index.ts';
import {
  type ModelConfig,
  type ModelQueuePolicy,
  ModelQueuePolicy_TimeoutAction as TimeoutAction,
  type ModelSequenceBatching,
  SequenceControlKind as Kind,
  wireDataType,
} from '../../protocol/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import {
  controlTensors,
  DirectScheduler,
  DynamicScheduler,
  type FlagControl,
  PLAIN_QUEUE,
  type QueueOptions,
  type QueuePolicy,
  type ScheduledInstance,
  type Scheduler,
  type SchedulerHooks,
  type SequenceControls,
  SequenceScheduler,
  type SequenceStrategy,
  type StateSpec,
  UNLIMITED,
} from '../schedulers/index.ts';
import type { EngineOptions } from './options.ts';

/** What Triton gives a sequence that does not say how long it may idle. */
const DEFAULT_SEQUENCE_IDLE_MICROS = 1_000_000;

export interface SchedulingContext {
  readonly clock: Clock;
  readonly hooks: SchedulerHooks;
  readonly states: readonly StateSpec[];
  readonly options: Pick<EngineOptions, 'startThreshold' | 'backlogThreshold' | 'logger'>;
}

/** The scheduler that a configuration asks for, over the model's instances. */
export function createScheduler(
  config: ModelConfig,
  instances: readonly ScheduledInstance[],
  context: SchedulingContext,
): Scheduler {
  const { clock, hooks, options } = context;
  const choice = config.schedulingChoice;
  switch (choice.case) {
    case 'dynamicBatching':
      return new DynamicScheduler(instances, clock, hooks, {
        maxBatchSize: Math.max(1, config.maxBatchSize),
        preferredBatchSizes: choice.value.preferredBatchSize,
        maxQueueDelayMicros: Number(choice.value.maxQueueDelayMicroseconds),
        preserveOrdering: choice.value.preserveOrdering,
        queue: queueOptions(choice.value),
        startThreshold: options.startThreshold,
      });
    case 'sequenceBatching':
      return new SequenceScheduler(instances, clock, hooks, {
        model: config.name,
        maxBatchSize: config.maxBatchSize,
        strategy: strategyOf(choice.value, config.maxBatchSize),
        maxSequenceIdleMicros: Number(choice.value.maxSequenceIdleMicroseconds) || DEFAULT_SEQUENCE_IDLE_MICROS,
        iterative: choice.value.iterativeSequence,
        controls: controlsOf(choice.value),
        states: context.states,
        startThreshold: options.startThreshold,
        backlogThreshold: options.backlogThreshold,
        logger: options.logger,
      });
    case 'ensembleScheduling':
      throw new Error(`ensemble '${config.name}' has no instances to schedule`);
    case undefined:
      return new DirectScheduler(instances, clock, hooks);
    default:
      return choice satisfies never;
  }
}

/** What the first request of a sequence has besides its own inputs, for so many rows. */
export function addedTensors(config: ModelConfig, states: readonly StateSpec[], rows: number): readonly Tensor[] {
  const choice = config.schedulingChoice;
  if (choice.case !== 'sequenceBatching') return [];
  const controls = controlsOf(choice.value);
  const id = controls.id?.datatype === 'BYTES' ? 'warmup' : 1n;
  const first = { start: true, ready: true, end: false };
  const tensors = [
    ...controlTensors(controls, first, id, config.maxBatchSize > 0),
    ...states.map((state) => state.initial),
  ];
  if (config.maxBatchSize === 0) return tensors;
  return tensors.map((tensor) => ({
    ...tensor,
    shape: [rows, ...tensor.shape.slice(1)],
    data: Buffer.concat(Array.from({ length: rows }, () => tensor.data)),
  }));
}

type DynamicBatching = Extract<ModelConfig['schedulingChoice'], { case: 'dynamicBatching' }>['value'];

function queueOptions(batching: DynamicBatching): QueueOptions {
  const defaultPolicy = policyOf(batching.defaultQueuePolicy);
  if (batching.priorityLevels === 0n) return { ...PLAIN_QUEUE, defaultPolicy };
  return {
    levels: batching.priorityLevels,
    defaultLevel: batching.defaultPriorityLevel,
    defaultPolicy,
    policies: new Map(
      Object.entries(batching.priorityQueuePolicy).map(([level, policy]) => [BigInt(level), policyOf(policy)]),
    ),
  };
}

function policyOf(policy: ModelQueuePolicy | undefined): QueuePolicy {
  if (!policy) return UNLIMITED;
  return {
    maxQueueSize: policy.maxQueueSize,
    defaultTimeoutMicros: Number(policy.defaultTimeoutMicroseconds),
    allowTimeoutOverride: policy.allowTimeoutOverride,
    timeoutAction: policy.timeoutAction === TimeoutAction.DELAY ? 'delay' : 'reject',
  };
}

function strategyOf({ strategyChoice }: ModelSequenceBatching, maxBatchSize: number): SequenceStrategy {
  if (strategyChoice.case === 'oldest') {
    const { value } = strategyChoice;
    return {
      kind: 'oldest',
      maxCandidateSequences: value.maxCandidateSequences || Math.max(1, maxBatchSize),
      preferredBatchSizes: value.preferredBatchSize,
      maxQueueDelayMicros: Number(value.maxQueueDelayMicroseconds),
      preserveOrdering: value.preserveOrdering,
    };
  }
  return {
    kind: 'direct',
    maxQueueDelayMicros: Number(strategyChoice.value?.maxQueueDelayMicroseconds ?? 0n),
    minimumSlotUtilization: strategyChoice.value?.minimumSlotUtilization ?? 0,
  };
}

const FLAG_KINDS = {
  [Kind.CONTROL_SEQUENCE_START]: 'start',
  [Kind.CONTROL_SEQUENCE_READY]: 'ready',
  [Kind.CONTROL_SEQUENCE_END]: 'end',
} as const;

function controlsOf({ controlInput }: ModelSequenceBatching): SequenceControls {
  const flags: FlagControl[] = [];
  let id: SequenceControls['id'];
  for (const { name, control: controls } of controlInput) {
    for (const control of controls) {
      if (control.kind === Kind.CONTROL_SEQUENCE_CORRID) {
        id = { name, datatype: wireDataType(control.dataType) ?? 'UINT64' };
        continue;
      }
      const kind = FLAG_KINDS[control.kind];
      if (control.int32FalseTrue.length > 0) {
        flags.push({
          kind,
          name,
          datatype: 'INT32',
          ...values(control.int32FalseTrue, (value) => Int32Array.of(value)),
        });
      } else if (control.fp32FalseTrue.length > 0) {
        flags.push({
          kind,
          name,
          datatype: 'FP32',
          ...values(control.fp32FalseTrue, (value) => Float32Array.of(value)),
        });
      } else {
        const numbers = control.boolFalseTrue.map(Number);
        flags.push({ kind, name, datatype: 'BOOL', ...values(numbers, (value) => Uint8Array.of(value)) });
      }
    }
  }
  return { flags, id };
}

function values(
  [whenFalse = 0, whenTrue = 1]: readonly number[],
  encode: (value: number) => ArrayBufferView<ArrayBuffer>,
): Pick<FlagControl, 'whenFalse' | 'whenTrue'> {
  return {
    whenFalse: new Uint8Array(encode(whenFalse).buffer),
    whenTrue: new Uint8Array(encode(whenTrue).buffer),
  };
}
