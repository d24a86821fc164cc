import { create } from '@bufbuild/protobuf';
import { invalidArgument } from '../core/index.ts';
import {
  type ModelConfig,
  ModelInstanceGroup_Kind as Kind,
  ModelInstanceGroupSchema,
  ModelOptimizationPolicySchema,
  ModelVersionPolicySchema,
} from '../protocol/index.ts';
import type { DeviceInventory } from './devices.ts';
import { backendDefaults, backendOfPlatform, ENSEMBLE_PLATFORM, platformNames } from './platforms.ts';

export interface NormalizeOptions {
  readonly devices: DeviceInventory;
  /** `KIND_GPU` without a GPU is an error, as in Triton, instead of a warning. */
  readonly strictDevices: boolean;
}

/**
 * Fills in, in place, what Triton fills in before a backend sees the configuration: backend and model file from the
 * platform, version policy, pinned-memory switches, instance groups with names, kinds and counts.
 * @returns warnings
 */
export function normalizeConfig(config: ModelConfig, options: NormalizeOptions): readonly string[] {
  resolveBackend(config);
  const defaults = backendDefaults(config.backend);
  if (config.defaultModelFilename === '') config.defaultModelFilename = defaults.modelFilename;
  normalizeVersionPolicy(config);
  if (config.platform === ENSEMBLE_PLATFORM) return [];
  config.optimization ??= create(ModelOptimizationPolicySchema);
  config.optimization.inputPinnedMemory ??= pinned();
  config.optimization.outputPinnedMemory ??= pinned();
  return normalizeInstanceGroups(config, options);
}

function pinned(): NonNullable<NonNullable<ModelConfig['optimization']>['inputPinnedMemory']> {
  const { inputPinnedMemory } = create(ModelOptimizationPolicySchema, { inputPinnedMemory: { enable: true } });
  if (!inputPinnedMemory) throw new Error('the schema made no pinned memory switch');
  return inputPinnedMemory;
}

function resolveBackend(config: ModelConfig): void {
  if (config.schedulingChoice.case === 'ensembleScheduling') {
    if (config.platform === '' && config.backend === '') config.platform = ENSEMBLE_PLATFORM;
    return;
  }
  if (config.backend !== '' || config.platform === '' || config.platform === ENSEMBLE_PLATFORM) return;
  const backend = backendOfPlatform(config.platform);
  if (backend === undefined) {
    throw invalidArgument(
      `unexpected platform type '${config.platform}' for ${config.name}: it is one of ${platformNames().join(', ')}`,
    );
  }
  config.backend = backend;
}

function normalizeVersionPolicy(config: ModelConfig): void {
  config.versionPolicy ??= create(ModelVersionPolicySchema);
  const policy = config.versionPolicy;
  if (policy.policyChoice.case === undefined) {
    config.versionPolicy = create(ModelVersionPolicySchema, {
      policyChoice: { case: 'latest', value: { numVersions: 1 } },
    });
  } else if (policy.policyChoice.case === 'latest' && policy.policyChoice.value.numVersions === 0) {
    policy.policyChoice.value.numVersions = 1;
  }
}

function normalizeInstanceGroups(config: ModelConfig, options: NormalizeOptions): readonly string[] {
  const warnings: string[] = [];
  const hasGpu = options.devices.gpus.length > 0;
  const defaults = backendDefaults(config.backend);
  if (config.instanceGroup.length === 0) {
    config.instanceGroup.push(
      create(ModelInstanceGroupSchema, { name: config.name, kind: Kind.CPU, count: defaults.cpuInstances }),
    );
    return warnings;
  }
  config.instanceGroup.forEach((group, index) => {
    if (group.name === '') group.name = `${config.name}_${index}`;
    if (group.kind === Kind.AUTO) {
      group.kind = hasGpu && group.gpus.length > 0 ? Kind.GPU : Kind.CPU;
    }
    if (group.kind === Kind.CPU && group.count === 0) group.count = defaults.cpuInstances;
    if (group.count === 0) group.count = 1;
    if (group.kind !== Kind.GPU) return;
    if (hasGpu) {
      if (group.gpus.length === 0) group.gpus.push(...options.devices.gpus.map((gpu) => gpu.id));
      return;
    }
    const complaint = `instance group ${group.name} of model ${config.name} has kind KIND_GPU but no GPUs are available`;
    if (options.strictDevices) throw invalidArgument(complaint);
    warnings.push(`${complaint}: its ${group.count} instance(s) run on the CPU (--strict-devices makes this an error)`);
    group.kind = Kind.CPU;
    group.gpus.length = 0;
  });
  return warnings;
}
