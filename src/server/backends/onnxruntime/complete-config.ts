import { create } from '@bufbuild/protobuf';
import { invalidArgument } from '../../../core/index.ts';
import {
  configDataType,
  ConfigDataType,
  configDataTypeName,
  type ModelConfig,
  ModelDynamicBatchingSchema,
  type ModelInput,
  ModelInputSchema,
  type ModelOutput,
  ModelOutputSchema,
  wireDataType,
} from '../../../protocol/index.ts';
import { formatShape, type Shape } from '../../../tensor/index.ts';
import { BATCH_INPUT_TYPES } from './batch-inputs.ts';
import type { OnnxModelInfo, OnnxTensorInfo } from './messages.ts';

/** `max_batch_size` of a completed model that can batch (`--backend-config=default-max-batch-size=N`). */
export const DEFAULT_MAX_BATCH_SIZE = 4;

/**
 * Fills in, in place, what a configuration does not say and the model file does: inputs, outputs, `max_batch_size`
 * and dynamic batching. A model batches when the first dimension of every tensor is variable.
 */
export function completeConfig(config: ModelConfig, info: OnnxModelInfo, defaultMaxBatchSize: number): void {
  const tensors = [...info.inputs, ...info.outputs];
  const batches = tensors.length > 0 && tensors.every((tensor) => tensor.shape[0] === -1);
  const untouched = config.input.length === 0 && config.output.length === 0;
  if (config.maxBatchSize === 0 && untouched && batches && defaultMaxBatchSize > 0) {
    config.maxBatchSize = defaultMaxBatchSize;
  }
  if (config.maxBatchSize > 1 && untouched && config.schedulingChoice.case === undefined) {
    config.schedulingChoice = { case: 'dynamicBatching', value: create(ModelDynamicBatchingSchema) };
  }
  const dimsOf = (tensor: OnnxTensorInfo): bigint[] => {
    const dims = config.maxBatchSize > 0 ? tensor.shape.slice(1) : tensor.shape;
    return dims.length === 0 ? [1n] : dims.map(BigInt);
  };
  const added = addedTensors(config);
  const isAdded = (tensor: OnnxTensorInfo): boolean => added.some((other) => other.name === tensor.name);
  if (config.input.length === 0) {
    for (const tensor of info.inputs.filter((input) => !isAdded(input)))
      config.input.push(create(ModelInputSchema, completed(tensor, dimsOf(tensor), config)));
  }
  if (config.output.length === 0) {
    for (const tensor of info.outputs.filter((output) => !isAdded(output))) {
      config.output.push(create(ModelOutputSchema, completed(tensor, dimsOf(tensor), config)));
    }
  }
}

/** A tensor without dimensions of its own is configured as `[1]` with a reshape to nothing. */
function completed(
  tensor: OnnxTensorInfo,
  dims: bigint[],
  config: ModelConfig,
): { name: string; dataType: ModelInput['dataType']; dims: bigint[]; reshape?: { shape: bigint[] } } {
  if (tensor.datatype === undefined) throw unsupportedType(tensor, config.name);
  const rank = tensor.shape.length - (config.maxBatchSize > 0 ? 1 : 0);
  return {
    name: tensor.name,
    dataType: configDataType(tensor.datatype),
    dims,
    ...(rank === 0 && config.maxBatchSize > 0 ? { reshape: { shape: [] } } : {}),
  };
}

function unsupportedType(tensor: OnnxTensorInfo, model: string): Error {
  return invalidArgument(
    `model '${model}', tensor '${tensor.name}' has ONNX type ${tensor.onnxType}, which onnxruntime-node cannot serve`,
  );
}

/**
 * Compares a configuration with the model file.
 * @throws INVALID_ARG, in the words of Triton's onnxruntime backend
 */
export function checkConfig(config: ModelConfig, info: OnnxModelInfo): void {
  const targets = config.batchInput.flatMap((input) => input.targetName);
  const added = addedTensors(config);
  const fixed = targets.length + added.filter((tensor) => tensor.kind === 'input').length;
  const required = config.input.filter((input) => !input.optional).length + fixed;
  const configured = config.input.length + fixed;
  if (required > info.inputs.length || configured < info.inputs.length) {
    throw invalidArgument(
      `unable to load model '${config.name}', configuration expects ${configured} inputs, model provides ${info.inputs.length}`,
    );
  }
  checkBatchTensors(config, info);
  const scattered = new Set(config.batchOutput.flatMap((output) => output.targetName));
  for (const input of config.input) checkTensor(config, input, 'input', info.inputs, input.allowRaggedBatch);
  for (const output of config.output) checkTensor(config, output, 'output', info.outputs, scattered.has(output.name));
  for (const tensor of added) {
    checkTensor(config, tensor, tensor.kind, tensor.kind === 'input' ? info.inputs : info.outputs, false);
  }
}

interface AddedTensor {
  readonly kind: 'input' | 'output';
  readonly name: string;
  readonly dataType: ModelInput['dataType'];
  readonly dims: readonly bigint[];
}

/** The tensors that a sequence scheduler adds to requests and takes out of answers: controls and states. */
export function addedTensors(config: ModelConfig): readonly AddedTensor[] {
  const choice = config.schedulingChoice;
  if (choice.case !== 'sequenceBatching') return [];
  const added: AddedTensor[] = [];
  for (const { name, control: controls } of choice.value.controlInput) {
    for (const control of controls) {
      const dataType =
        control.int32FalseTrue.length > 0
          ? ConfigDataType.TYPE_INT32
          : control.fp32FalseTrue.length > 0
            ? ConfigDataType.TYPE_FP32
            : control.boolFalseTrue.length > 0
              ? ConfigDataType.TYPE_BOOL
              : control.dataType;
      added.push({ kind: 'input', name, dataType, dims: [1n] });
    }
  }
  for (const { inputName, outputName, dataType, dims } of choice.value.state) {
    added.push({ kind: 'input', name: inputName, dataType, dims });
    added.push({ kind: 'output', name: outputName, dataType, dims });
  }
  return added;
}

/** `batch_input` and `batch_output` must name tensors that there are. */
function checkBatchTensors(config: ModelConfig, info: OnnxModelInfo): void {
  const inputs = new Set(config.input.map((input) => input.name));
  for (const [field, entries] of [
    ['batch_input', config.batchInput],
    ['batch_output', config.batchOutput],
  ] as const) {
    for (const { sourceInput, targetName } of entries) {
      const [source] = sourceInput;
      if (sourceInput.length !== 1 || source === undefined || !inputs.has(source)) {
        throw invalidArgument(
          `${field} of model '${config.name}' must have one source input that is an input of the model, got [${sourceInput.join(', ')}]`,
        );
      }
      const known = field === 'batch_input' ? info.inputs : info.outputs;
      const missing = targetName.find((name) => !known.some((tensor) => tensor.name === name));
      if (missing !== undefined || targetName.length === 0) {
        throw invalidArgument(
          `${field} of model '${config.name}' has target '${missing ?? ''}', which the model does not have`,
        );
      }
    }
  }
  for (const { dataType, targetName } of config.batchInput) {
    if (!BATCH_INPUT_TYPES.includes(wireDataType(dataType) ?? 'BOOL')) {
      throw invalidArgument(
        `batch_input '${targetName.join(', ')}' of model '${config.name}' has data type ${configDataTypeName(dataType)}, it can have ${BATCH_INPUT_TYPES.join(', ')}`,
      );
    }
  }
}

function checkTensor(
  config: ModelConfig,
  tensor: Pick<ModelInput | ModelOutput, 'name' | 'dataType' | 'reshape'> & { readonly dims: readonly bigint[] },
  kind: 'input' | 'output',
  provided: readonly OnnxTensorInfo[],
  flat: boolean,
): void {
  const found = provided.find((candidate) => candidate.name === tensor.name);
  if (!found) {
    const names = provided.map((candidate) => candidate.name).join(', ');
    throw invalidArgument(
      `unexpected inference ${kind} '${tensor.name}', allowed ${kind}s are: ${names} (model '${config.name}')`,
    );
  }
  if (found.datatype === undefined) throw unsupportedType(found, config.name);
  if (found.datatype !== wireDataType(tensor.dataType)) {
    throw invalidArgument(
      `unexpected datatype ${configDataTypeName(tensor.dataType)} for inference ${kind} '${tensor.name}', expecting ${configDataTypeName(configDataType(found.datatype))} for ${config.name}`,
    );
  }
  const dims = (tensor.reshape ? tensor.reshape.shape : tensor.dims).map(Number);
  // Put together without a batch dimension: the shape is the batch's, not a request's.
  if (flat) return;
  if (config.maxBatchSize > 0 && found.shape[0] !== -1) {
    throw invalidArgument(
      `model '${config.name}', tensor '${tensor.name}': for the model to support batching the shape should have at least 1 dimension and the first dimension must be -1; but shape expected by the model is ${formatShape(found.shape)}`,
    );
  }
  const full = config.maxBatchSize > 0 ? [-1, ...dims] : dims;
  if (!compatible(full, found.shape) && !isScalar(dims, found.shape))
    throw shapeError(config, tensor.name, full, found.shape);
}

/** A model without dimensions may be configured as `[1]`: scalars have no other form in a configuration. */
function isScalar(dims: Shape, model: Shape): boolean {
  return model.length === 0 && dims.every((dim) => dim === 1);
}

function compatible(configured: Shape, model: Shape): boolean {
  return (
    configured.length === model.length &&
    configured.every((dim, index) => dim === -1 || model[index] === -1 || dim === model[index])
  );
}

function shapeError(config: ModelConfig, tensor: string, full: Shape, model: Shape): Error {
  const configured =
    config.maxBatchSize > 0
      ? `(an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making complete shape ${formatShape(full)})`
      : `(shape ${formatShape(full)})`;
  return invalidArgument(
    `model '${config.name}', tensor '${tensor}': the model expects ${model.length} dimensions (shape ${formatShape(model)}) but the model configuration specifies ${full.length} dimensions ${configured}`,
  );
}
