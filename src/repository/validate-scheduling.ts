import { invalidArgument } from '../core/index.ts';
import {
  ConfigDataType,
  controlKindName,
  type EnsembleStep,
  type ModelConfig,
  ModelQueuePolicy_TimeoutAction as TimeoutAction,
  type ModelSequenceBatching,
  SequenceControlKind,
} from '../protocol/index.ts';
import { ENSEMBLE_PLATFORM } from './platforms.ts';

type DynamicBatching = Extract<ModelConfig['schedulingChoice'], { case: 'dynamicBatching' }>['value'];
type ControlInput = ModelSequenceBatching['controlInput'][number];
type Control = ControlInput['control'][number];

/**
 * Checks the scheduling part of a configuration, in Triton's words. Batch sizes are compared only once `max_batch_size`
 * is known, which a backend may still fill in.
 * @throws INVALID_ARG
 */
export function validateScheduling(config: ModelConfig): void {
  const choice = config.schedulingChoice;
  if (config.responseCache?.enable) {
    const refuse = (what: string): never => {
      throw invalidArgument(
        `Response Cache does not currently support model ${config.name} with ${what}. Please disable the response cache.`,
      );
    };
    if (config.modelTransactionPolicy?.decoupled) refuse("'decoupled' transaction policy");
    if (choice.case === 'sequenceBatching') refuse('sequence batching scheduler');
  }
  if (choice.case === 'dynamicBatching') validateDynamic(choice.value, config);
  if (choice.case === 'sequenceBatching') validateSequence(choice.value, config);
  if (choice.case === 'ensembleScheduling') validateEnsemble(config);
  else if (config.platform === ENSEMBLE_PLATFORM) {
    throw invalidArgument(`ensemble scheduling must be set for ensemble ${config.name} whose platform is ensemble`);
  }
}

function validatePreferred(sizes: readonly number[], kind: 'dynamic' | 'sequence', config: ModelConfig): void {
  const what = kind === 'dynamic' ? 'dynamic batching preferred size' : 'sequence batching preferred batch size';
  for (const size of sizes) {
    if (size <= 0) {
      throw invalidArgument(`${what} must be positive for ${config.name}, got ${size}`);
    }
    if (config.maxBatchSize > 0 && size > config.maxBatchSize) {
      throw invalidArgument(`${what} must be <= max batch size for ${config.name}: ${size} > ${config.maxBatchSize}`);
    }
  }
}

function validateDynamic(batching: DynamicBatching, config: ModelConfig): void {
  const { name } = config;
  const { priorityLevels, defaultPriorityLevel, preserveOrdering, priorityQueuePolicy, defaultQueuePolicy } = batching;
  validatePreferred(batching.preferredBatchSize, 'dynamic', config);
  if (priorityLevels !== 0n && (defaultPriorityLevel < 1n || defaultPriorityLevel > priorityLevels)) {
    throw invalidArgument(`default priority level must be in range [1, ${priorityLevels}] for ${name}`);
  }
  for (const level of Object.keys(priorityQueuePolicy)) {
    if (BigInt(level) >= 1n && BigInt(level) <= priorityLevels) continue;
    throw invalidArgument(`priority queue policy must have priority level in range [1, ${priorityLevels}] for ${name}`);
  }
  if (!preserveOrdering) return;
  if (priorityLevels > 1n) {
    throw invalidArgument(`Only one priority level is allowed when 'preserve_ordering' is true for ${name}`);
  }
  for (const policy of [defaultQueuePolicy, ...Object.values(priorityQueuePolicy)]) {
    if (policy?.timeoutAction !== TimeoutAction.DELAY) continue;
    throw invalidArgument(
      `Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for ${name}`,
    );
  }
}

function validateSequence(batching: ModelSequenceBatching, config: ModelConfig): void {
  const { name } = config;
  const strategy = batching.strategyChoice;
  if (strategy.case === 'oldest') validatePreferred(strategy.value.preferredBatchSize, 'sequence', config);
  if (strategy.case === 'oldest' && strategy.value.maxCandidateSequences < 0) {
    throw invalidArgument(
      `sequence batching max_candidate_sequences must be positive for ${name}, got ${strategy.value.maxCandidateSequences}`,
    );
  }
  if (strategy.case === 'direct') {
    const { minimumSlotUtilization } = strategy.value;
    if (minimumSlotUtilization < 0 || minimumSlotUtilization > 1) {
      throw invalidArgument(
        `sequence batching minimum slot utilization must be in range (0.0, 1.0] for ${name}, got ${minimumSlotUtilization}`,
      );
    }
  }
  const seen = new Set<SequenceControlKind>();
  const names = new Set<string>();
  for (const input of batching.controlInput) {
    if (input.name === '') throw invalidArgument(`sequence batching control tensor must have a name for ${name}`);
    for (const control of input.control) {
      if (names.has(input.name)) {
        throw invalidArgument(
          `sequence batching control tensor '${input.name}' is specified for multiple control kinds for ${name}`,
        );
      }
      names.add(input.name);
      const kind = controlKindName(control.kind);
      if (seen.has(control.kind)) {
        throw invalidArgument(`sequence batching specifies multiple ${kind} tensors for ${name}`);
      }
      seen.add(control.kind);
      if (control.kind === SequenceControlKind.CONTROL_SEQUENCE_CORRID) validateCorrelationId(control, name);
      else validateFlag(control, kind, name);
    }
  }
  validateStates(batching, name);
}

const ID_TYPES: ReadonlySet<ConfigDataType> = new Set([
  ConfigDataType.TYPE_UINT64,
  ConfigDataType.TYPE_INT64,
  ConfigDataType.TYPE_UINT32,
  ConfigDataType.TYPE_INT32,
  ConfigDataType.TYPE_STRING,
]);

const FLAG_FIELDS = "'int32_false_true', 'fp32_false_true' or 'bool_false_true'";

function validateCorrelationId(control: Control, name: string): void {
  const kind = 'CONTROL_SEQUENCE_CORRID';
  if (control.int32FalseTrue.length + control.fp32FalseTrue.length + control.boolFalseTrue.length > 0) {
    throw invalidArgument(`sequence batching must not specify either ${FLAG_FIELDS} for ${kind} for ${name}`);
  }
  if (!ID_TYPES.has(control.dataType)) {
    throw invalidArgument(
      `unexpected data type for control ${kind} for ${name}. Allowed data types are TYPE_UINT64, TYPE_INT64, TYPE_UINT32, TYPE_INT32 and TYPE_STRING`,
    );
  }
}

function validateFlag(control: Control, kind: string, name: string): void {
  const given = [
    ['int32_false_true', control.int32FalseTrue.length],
    ['fp32_false_true', control.fp32FalseTrue.length],
    ['bool_false_true', control.boolFalseTrue.length],
  ] as const;
  const used = given.filter(([, length]) => length > 0);
  if (used.length === 0) {
    throw invalidArgument(`sequence batching must specify either ${FLAG_FIELDS} for ${kind} for ${name}`);
  }
  if (used.length > 1) {
    throw invalidArgument(
      `sequence batching specifies more than one from 'int32_false_true', 'fp32_false_true' and 'bool_false_true' for ${kind} for ${name}`,
    );
  }
  for (const [field, length] of used) {
    if (length === 2) continue;
    throw invalidArgument(
      `sequence batching control '${field}' must have exactly 2 entries for ${kind} for ${name}, got ${length}`,
    );
  }
}

function validateStates({ state }: ModelSequenceBatching, name: string): void {
  const seen = { input: new Set<string>(), output: new Set<string>() };
  for (const { inputName, outputName, dataType } of state) {
    for (const [kind, tensor] of [
      ['input', inputName],
      ['output', outputName],
    ] as const) {
      if (tensor === '') throw invalidArgument(`a state of model '${name}' must have an '${kind}_name'`);
      if (seen[kind].has(tensor)) {
        throw invalidArgument(`Detected duplicate '${kind}_name' in the state configuration: '${tensor}' of ${name}`);
      }
      seen[kind].add(tensor);
    }
    if (dataType === ConfigDataType.TYPE_INVALID) {
      throw invalidArgument(`state '${inputName}' of model '${name}' must specify 'data_type'`);
    }
  }
}

function validateEnsemble(config: ModelConfig): void {
  const { name } = config;
  const choice = config.schedulingChoice;
  if (choice.case !== 'ensembleScheduling') return;
  if (config.platform !== ENSEMBLE_PLATFORM) {
    throw invalidArgument(`ensemble scheduling cannot be set for model '${name}' whose platform is not ensemble`);
  }
  if (config.instanceGroup.length > 0) {
    throw invalidArgument(`instance group should not be specified for ensemble '${name}'`);
  }
  if (config.modelWarmup.length > 0) {
    throw invalidArgument(`model_warmup can not be specified for ensemble '${name}'`);
  }
  if (config.optimization) throw invalidArgument(`optimization should not be specified for ensemble '${name}'`);
  const steps = choice.value.step;
  if (steps.length === 0) throw invalidArgument(`must specify 'step' for ensemble '${name}'`);
  const makers = makersOf(steps, name);
  const used = new Set(steps.flatMap((step) => Object.values(step.inputMap)));
  // The quotation marks are Triton's: clients and tests compare its text.
  for (const input of config.input) {
    if (!used.has(input.name)) {
      throw invalidArgument(`ensemble input '${input.name}' for ensemble ${name}' is not used`);
    }
    if (makers.has(input.name)) {
      throw invalidArgument(
        `ensemble input '${input.name}' for ensemble '${name}' can not be the output of a step as well`,
      );
    }
  }
  for (const output of config.output) {
    if (!makers.has(output.name)) {
      throw invalidArgument(`ensemble output '${output.name}' for ensemble ${name}' is not used`);
    }
  }
  requireWritten(config, steps, makers);
  const wanted = new Set([...used, ...config.output.map((output) => output.name)]);
  const unused = [...makers.keys()].find((tensor) => !wanted.has(tensor));
  if (unused !== undefined) throw invalidArgument(`ensemble tensor '${unused}' is unused in ensemble '${name}'`);
}

/** The step that makes each tensor. */
function makersOf(steps: readonly EnsembleStep[], name: string): ReadonlyMap<string, number> {
  const makers = new Map<string, number>();
  steps.forEach((step, index) => {
    const where = `in step ${index} of ensemble '${name}'`;
    if (step.modelName === '') throw invalidArgument(`must specify 'model_name' ${where}`);
    if (Object.keys(step.inputMap).length === 0) throw invalidArgument(`must specify 'input_map' ${where}`);
    if (Object.keys(step.outputMap).length === 0) throw invalidArgument(`must specify 'output_map' ${where}`);
    for (const [output, tensor] of Object.entries(step.outputMap)) {
      if (tensor === '') throw invalidArgument(`output '${output}' ${where} has no tensor`);
      if (makers.has(tensor)) {
        throw invalidArgument(
          `ensemble tensor '${tensor}' can appear in an output map only once for ensemble '${name}' step ${index}`,
        );
      }
      makers.set(tensor, index);
    }
  });
  return makers;
}

/** Every output must come about: its steps' inputs exist, and none waits for itself. */
function requireWritten(
  config: ModelConfig,
  steps: readonly EnsembleStep[],
  makers: ReadonlyMap<string, number>,
): void {
  const written = new Set(config.input.map((input) => input.name));
  const ran = new Set<number>();
  for (let progress = true; progress;) {
    progress = false;
    steps.forEach((step, index) => {
      if (ran.has(index) || !Object.values(step.inputMap).every((tensor) => written.has(tensor))) return;
      ran.add(index);
      progress = true;
      for (const tensor of Object.values(step.outputMap)) written.add(tensor);
    });
  }
  for (const { name } of config.output) {
    if (written.has(name)) continue;
    const missing = steps
      .flatMap((step) => Object.values(step.inputMap))
      .find((tensor) => !written.has(tensor) && !makers.has(tensor));
    const reason =
      missing === undefined
        ? 'steps wait for each other in a circle'
        : `at least one of its depending tensors, '${missing}', is not connected`;
    throw invalidArgument(`output '${name}' for ensemble '${config.name}' is not written: ${reason}`);
  }
}
