import { invalidArgument } from '../../core/index.ts';
import { configDataType, configDataTypeName, type EnsembleStep, type ModelConfig } from '../../protocol/index.ts';
import { type DataType, formatShape, type Shape } from '../../tensor/index.ts';
import { type EnsemblePlan, planEnsemble, type StepConfig } from '../schedulers/index.ts';
import type { LoadedModel } from './loaded-model.ts';
import { publicShape, type TensorSpec, inputSpecs, outputSpecs } from './tensor-spec.ts';

/** What a tensor of the ensemble is, and which model says so. */
interface Inferred {
  readonly model: string;
  readonly datatype: DataType;
  readonly shape: Shape;
  readonly batching: boolean;
}

/**
 * Checks an ensemble against the models of its steps and plans its run.
 * @param find the model that a step would run on now
 * @throws INVALID_ARG naming the edge that is wrong, in Triton's words
 */
export function buildEnsemble(config: ModelConfig, find: (step: StepConfig) => LoadedModel): EnsemblePlan {
  const choice = config.schedulingChoice;
  if (choice.case !== 'ensembleScheduling') throw new Error(`'${config.name}' is no ensemble`);
  const inputs = inputSpecs(config);
  const outputs = outputSpecs(config);
  const batching = config.maxBatchSize > 0;
  const steps = choice.value.step.map(stepConfig);
  const models = steps.map(find);
  const known = new Map<string, Inferred>();
  // Inside of the ensemble its tensors have the shapes that its own reshapes give them.
  for (const spec of [...inputs, ...outputs]) {
    known.set(spec.name, inferred(config.name, { ...spec, dims: spec.reshape ?? spec.dims }, batching));
  }
  steps.forEach((step, index) => {
    const model = models[index];
    if (model) checkStep(config, step, model, known);
  });
  return planEnsemble(
    {
      name: config.name,
      batching,
      steps,
      inputs: inputs.map((input) => input.name),
      outputs: new Map(outputs.map((output) => [output.name, output.reshape ?? output.dims])),
      maxInflightRequests: choice.value.maxInflightRequests,
    },
    (step) => models[steps.indexOf(step)]?.decoupled ?? false,
  );
}

function stepConfig(step: EnsembleStep): StepConfig {
  return {
    model: step.modelName,
    version: step.modelVersion > 0n ? String(step.modelVersion) : '',
    inputs: new Map(Object.entries(step.inputMap)),
    outputs: new Map(Object.entries(step.outputMap)),
  };
}

function checkStep(config: ModelConfig, step: StepConfig, model: LoadedModel, known: Map<string, Inferred>): void {
  const ensemble = config.name;
  if (config.maxBatchSize > 0 && model.maxBatchSize > 0 && model.maxBatchSize < config.maxBatchSize) {
    throw invalidArgument(
      `ensemble ${ensemble} allows maximum batch size ${config.maxBatchSize}, but it contains model ${model.name} which only allows maximum batch size to be ${model.maxBatchSize}`,
    );
  }
  for (const [name, tensor] of step.inputs) {
    const spec = model.inputs.find((input) => input.name === name);
    if (!spec) {
      throw invalidArgument(
        `in ensemble ${ensemble}, ensemble tensor ${tensor} is mapping to non-existing input ${name} in model ${model.name}`,
      );
    }
    agree(ensemble, tensor, inferred(model.name, spec, model.batching), known);
  }
  for (const input of model.inputs) {
    if (step.inputs.has(input.name) || input.optional) continue;
    throw invalidArgument(
      `in ensemble ${ensemble}, input ${input.name} in model ${model.name} is not mapped to any ensemble tensors`,
    );
  }
  for (const [name, tensor] of step.outputs) {
    const spec = model.outputs.find((output) => output.name === name);
    if (!spec) {
      throw invalidArgument(
        `in ensemble ${ensemble}, ensemble tensor ${tensor} is mapped from non-existing output ${name} in model ${model.name}`,
      );
    }
    agree(ensemble, tensor, inferred(model.name, spec, model.batching), known);
  }
}

function inferred(model: string, spec: TensorSpec, batching: boolean): Inferred {
  return { model, datatype: spec.datatype, shape: publicShape(spec, batching), batching };
}

/** Two models that see the same tensor must mean the same by it. */
function agree(ensemble: string, tensor: string, next: Inferred, known: Map<string, Inferred>): void {
  const before = known.get(tensor);
  if (!before) {
    known.set(tensor, next);
    return;
  }
  const where = `in ensemble ${ensemble}, ensemble tensor ${tensor}`;
  if (before.datatype !== next.datatype) {
    const name = (type: DataType): string => configDataTypeName(configDataType(type));
    throw invalidArgument(
      `${where}: inconsistent data type: ${name(before.datatype)} is inferred from model ${before.model} while ${name(next.datatype)} is inferred from model ${next.model}`,
    );
  }
  if (!compatible(before, next)) {
    throw invalidArgument(
      `${where}: inconsistent shape: ${formatShape(before.shape)} is inferred from model ${before.model} while ${formatShape(next.shape)} is inferred from model ${next.model}`,
    );
  }
}

/** Where only one of the two batches, the batch dimension may be a dimension of the other, or missing there. */
function compatible(a: Inferred, b: Inferred): boolean {
  if (matches(a.shape, b.shape)) return true;
  if (a.batching === b.batching) return false;
  const [batched, plain] = a.batching ? [a, b] : [b, a];
  return matches(batched.shape.slice(1), plain.shape);
}

function matches(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, index) => dim === -1 || b[index] === -1 || dim === b[index]);
}

/** Names of the models that a configuration's steps need; empty for a model that is no ensemble. */
export function stepModels(config: ModelConfig): readonly string[] {
  const choice = config.schedulingChoice;
  return choice.case === 'ensembleScheduling' ? [...new Set(choice.value.step.map((step) => step.modelName))] : [];
}
