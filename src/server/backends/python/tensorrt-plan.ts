import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { errorMessage, invalidArgument, ServerError } from '../../../core/index.ts';
import { isJsonObject, ModelParameterSchema } from '../../../protocol/index.ts';
import { modelFilenameFor } from '../../../repository/index.ts';
import type { ModelContext } from '../contract.ts';

/**
 * What a manifest beside a plan (`model.plan.json`) says about it; every entry is optional. Profiles are the shapes
 * `[minimum, optimum, maximum]` by input.
 */
export const MANIFEST_FIELDS = ['tensorrt_version', 'compute_capability', 'precision', 'profiles'] as const;

type Manifest = Readonly<Partial<Record<(typeof MANIFEST_FIELDS)[number], unknown>>>;

/**
 * Checks that a plan can run on this machine: there is a GPU, and it is the kind that the plan was built for.
 * @returns the manifest as properties of the model
 * @throws UNAVAILABLE without a GPU, INVALID_ARG for a manifest that is wrong or of another GPU
 */
export function checkPlan(context: ModelContext): Readonly<Record<string, string>> {
  const { config, devices, versionPath } = context;
  const [gpu] = devices.gpus;
  const filename = modelFilenameFor(config.ccModelFilenames, config.defaultModelFilename || 'model.plan', gpu);
  const manifest = readManifest(join(versionPath, `${filename}.json`), config.name);
  const properties = Object.fromEntries(
    Object.entries(manifest).map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]),
  );
  if (!gpu) {
    throw new ServerError(
      'UNAVAILABLE',
      `model '${config.name}' is a TensorRT plan, which only runs on an NVIDIA GPU, and this machine has none`,
    );
  }
  const capability = manifest.compute_capability;
  const fitting = devices.gpus.filter((device) => device.computeCapability === capability);
  if (typeof capability === 'string' && fitting.length === 0) {
    throw invalidArgument(
      `plan '${filename}' of model '${config.name}' was built for compute capability ${capability}; the GPUs here have ${devices.gpus.map((device) => device.computeCapability).join(', ')}: build it on this machine, or add one in cc_model_filenames`,
    );
  }
  // The process compares it with the version of TensorRT that it has.
  if (typeof manifest.tensorrt_version === 'string') {
    config.parameters['tensorrt_version'] = create(ModelParameterSchema, { stringValue: manifest.tensorrt_version });
  }
  return properties;
}

function readManifest(path: string, model: string): Manifest {
  if (!existsSync(path)) return {};
  let manifest: unknown;
  try {
    manifest = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw invalidArgument(`manifest '${path}' of model '${model}' is not JSON: ${errorMessage(error)}`);
  }
  if (!isJsonObject(manifest)) throw invalidArgument(`manifest '${path}' of model '${model}' must be a JSON object`);
  const known: readonly string[] = MANIFEST_FIELDS;
  const unknown = Object.keys(manifest).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw invalidArgument(`manifest '${path}' of model '${model}' has '${unknown}', known are: ${known.join(', ')}`);
  }
  return manifest;
}
