import { invalidArgument } from '../core/index.ts';
import {
  ConfigDataType,
  type ModelConfig,
  type ModelInput,
  type ModelInstanceGroup,
  ModelInstanceGroup_Kind as Kind,
  type ModelOutput,
} from '../protocol/index.ts';
import type { DeviceInventory } from './devices.ts';
import { ENSEMBLE_PLATFORM } from './platforms.ts';
import { validateScheduling } from './validate-scheduling.ts';

/**
 * Checks that a complete configuration can be served, in Triton's words where clients know them.
 * @throws INVALID_ARG
 */
export function validateConfig(config: ModelConfig, devices: DeviceInventory): void {
  const name = config.name;
  if (name === '') throw invalidArgument('model configuration must specify a model name');
  if (config.backend === '' && config.platform !== ENSEMBLE_PLATFORM) {
    throw invalidArgument(
      `unexpected platform type '' for ${name}: the configuration must specify 'backend' or 'platform'`,
    );
  }
  if (config.maxBatchSize < 0) {
    throw invalidArgument(`'max_batch_size' must be non-negative value for ${name}, got ${config.maxBatchSize}`);
  }
  validateVersionPolicy(config);
  validateScheduling(config);
  for (const input of config.input) validateTensor(input, 'input', config);
  for (const output of config.output) validateTensor(output, 'output', config);
  rejectDuplicates(config.input, 'input', name);
  rejectDuplicates(config.output, 'output', name);
  for (const group of config.instanceGroup) validateGroup(group, name, devices);
}

function validateVersionPolicy(config: ModelConfig): void {
  const choice = config.versionPolicy?.policyChoice;
  if (choice?.case === 'specific' && choice.value.versions.length === 0) {
    throw invalidArgument(`version_policy 'specific' of ${config.name} names no versions`);
  }
}

function validateTensor(tensor: ModelInput | ModelOutput, kind: 'input' | 'output', config: ModelConfig): void {
  const name = config.name;
  if (tensor.name === '') throw invalidArgument(`model ${kind} must specify 'name' for ${name}`);
  if (tensor.dataType === ConfigDataType.TYPE_INVALID) {
    throw invalidArgument(`model ${kind} '${tensor.name}' must specify 'data_type' for ${name}`);
  }
  if (tensor.dims.length === 0) throw invalidArgument(`model ${kind} '${tensor.name}' must specify 'dims' for ${name}`);
  for (const dim of tensor.dims) {
    if (dim < -1n || dim === 0n) {
      throw invalidArgument(
        `model ${kind} dimension must be integer >= 1, or -1 to indicate a variable-size dimension for ${name}: '${tensor.name}' has ${dim}`,
      );
    }
  }
  if (tensor.reshape) validateReshape(tensor, kind, config);
}

function validateReshape(tensor: ModelInput | ModelOutput, kind: string, config: ModelConfig): void {
  const shape = tensor.reshape?.shape ?? [];
  const name = config.name;
  if (shape.length === 0 && config.maxBatchSize === 0) {
    throw invalidArgument(
      `model ${kind} '${tensor.name}' cannot have empty reshape for non-batching model as scalar tensors are not supported for ${name}`,
    );
  }
  for (const dim of shape) {
    if (dim < -1n || dim === 0n) {
      throw invalidArgument(
        `model ${kind} '${tensor.name}' reshape dimensions must be integer >= 1, or -1 to indicate a variable-size dimension for ${name}`,
      );
    }
  }
  const variable = (dims: readonly bigint[]): number => dims.filter((dim) => dim === -1n).length;
  if (variable(shape) !== variable(tensor.dims)) {
    throw invalidArgument(
      `model ${kind} '${tensor.name}' has different number of variable-size dimensions for dims and reshape for ${name}`,
    );
  }
  const fixed = (dims: readonly bigint[]): bigint => dims.reduce((all, dim) => (dim === -1n ? all : all * dim), 1n);
  if (fixed(shape) !== fixed(tensor.dims)) {
    throw invalidArgument(`model ${kind} '${tensor.name}' has different size for dims and reshape for ${name}`);
  }
}

function rejectDuplicates(tensors: readonly { name: string }[], kind: string, model: string): void {
  const seen = new Set<string>();
  for (const { name } of tensors) {
    if (seen.has(name)) throw invalidArgument(`model ${kind} '${name}' is given more than once for ${model}`);
    seen.add(name);
  }
}

function validateGroup(group: ModelInstanceGroup, model: string, devices: DeviceInventory): void {
  if (group.count < 0) {
    throw invalidArgument(
      `instance group ${group.name} of model ${model} must have a positive count, got ${group.count}`,
    );
  }
  if (group.kind === Kind.CPU && group.gpus.length > 0) {
    throw invalidArgument(
      `instance group ${group.name} of model ${model} has kind KIND_CPU but specifies one or more GPUs`,
    );
  }
  for (const gpu of group.gpus) {
    if (!devices.gpus.some((device) => device.id === gpu)) {
      const known = devices.gpus.map((device) => device.id).join(', ');
      throw invalidArgument(
        `instance group ${group.name} of model ${model} specifies invalid or unsupported gpu id ${gpu}. GPUs with at least the minimum required CUDA compute compatibility are: ${known || 'none'}`,
      );
    }
  }
}
