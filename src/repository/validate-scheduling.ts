import { invalidArgument } from '../core/index.ts';
import {
  ConfigDataType,
  controlKindName,
  type ModelConfig,
  ModelQueuePolicy_TimeoutAction as TimeoutAction,
  type ModelSequenceBatching,
  SequenceControlKind,
} from '../protocol/index.ts';

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
  else if (config.platform === 'ensemble') {
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
  for (const input of batching.controlInput) {
    if (input.name === '') throw invalidArgument(`sequence batching control tensor must have a name for ${name}`);
    for (const control of input.control) {
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
  if (control.dataType === ConfigDataType.TYPE_INVALID) {
    throw invalidArgument(`sequence batching control tensor must specify a 'data_type' for ${kind} for ${name}`);
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
  if (config.platform !== 'ensemble') {
    throw invalidArgument(`ensemble scheduling cannot be set for model '${name}' whose platform is not ensemble`);
  }
  if (config.instanceGroup.length > 0) {
    throw invalidArgument(`instance group should not be specified for ensemble '${name}'`);
  }
  if (config.modelWarmup.length > 0) {
    throw invalidArgument(`model_warmup can not be specified for ensemble '${name}'`);
  }
  const { step: steps } = choice.value;
  if (steps.length === 0) throw invalidArgument(`must specify 'step' for ensemble '${name}'`);
  const produced = new Set<string>();
  const used = new Set<string>();
  steps.forEach((step, index) => {
    if (step.modelName === '') {
      throw invalidArgument(`must specify 'model_name' in step ${index} of ensemble '${name}'`);
    }
    if (Object.keys(step.outputMap).length === 0) {
      throw invalidArgument(`must specify 'output_map' in step ${index} of ensemble '${name}'`);
    }
    for (const tensor of Object.values(step.inputMap)) used.add(tensor);
    for (const [output, tensor] of Object.entries(step.outputMap)) {
      if (tensor === '')
        throw invalidArgument(`output '${output}' in step ${index} of ensemble '${name}' has no tensor`);
      if (produced.has(tensor)) {
        throw invalidArgument(
          `ensemble tensor '${tensor}' can appear in an output map only once for ensemble '${name}'`,
        );
      }
      produced.add(tensor);
    }
  });
  for (const input of config.input) {
    if (!used.has(input.name)) {
      throw invalidArgument(`ensemble input '${input.name}' for ensemble '${name}' is not used`);
    }
    if (produced.has(input.name)) {
      throw invalidArgument(
        `ensemble input '${input.name}' for ensemble '${name}' can not be the output of a step as well`,
      );
    }
  }
  for (const output of config.output) {
    if (!produced.has(output.name)) {
      throw invalidArgument(`ensemble output '${output.name}' for ensemble '${name}' is not used`);
    }
  }
  const wanted = new Set([...used, ...config.output.map((output) => output.name)]);
  const unused = [...produced].find((tensor) => !wanted.has(tensor));
  if (unused !== undefined) throw invalidArgument(`ensemble tensor '${unused}' is unused in ensemble '${name}'`);
  const available = new Set([...produced, ...config.input.map((input) => input.name)]);
  const missing = [...used].find((tensor) => !available.has(tensor));
  if (missing !== undefined) {
    throw invalidArgument(
      `ensemble tensor '${missing}' is an input of a step of ensemble '${name}', and neither an input of the ensemble nor an output of a step`,
    );
  }
}
