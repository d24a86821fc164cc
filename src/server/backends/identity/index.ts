import { invalidArgument, systemClock } from '../../../core/index.ts';
import type { ModelConfig } from '../../../protocol/index.ts';
import type { Tensor } from '../../../tensor/index.ts';
import type {
  Backend,
  BackendInstance,
  BackendModel,
  ExecutionReport,
  ExecutionUnit,
  ModelContext,
} from '../contract.ts';

/**
 * Returns every input as the output of the same position. Serves every data type, BF16 included, and passes tensors
 * on without looking at them. The parameter `execute_delay_ms` makes it wait, as Triton's identity backend does.
 * (https://github.com/triton-inference-server/identity_backend)
 */
export function createIdentityBackend(): Backend {
  return {
    name: 'identity',
    async loadModel(context) {
      return createIdentityModel(context);
    },
    async [Symbol.asyncDispose]() {},
  };
}

function createIdentityModel({ config }: ModelContext): BackendModel {
  const pairs = pairTensors(config);
  const delayMs = delayOf(config, 'execute_delay_ms');
  const creationDelayMs = delayOf(config, 'creation_delay_sec') * 1000;
  return {
    async createInstance(spec) {
      if (creationDelayMs > 0) await new Promise((resolve) => setTimeout(resolve, creationDelayMs));
      return createInstance(spec.name, pairs, delayMs);
    },
    async [Symbol.asyncDispose]() {},
  };
}

function delayOf(config: ModelConfig, parameter: string): number {
  const text = config.parameters[parameter]?.stringValue;
  const value = Number(text ?? 0);
  if (!Number.isFinite(value) || value < 0) {
    throw invalidArgument(`parameter '${parameter}' of model '${config.name}' must be a number >= 0, got '${text}'`);
  }
  return value;
}

/** Output name by input name. */
function pairTensors(config: ModelConfig): ReadonlyMap<string, string> {
  if (config.input.length !== config.output.length) {
    throw invalidArgument(
      `identity model '${config.name}' must have as many outputs as inputs, has ${config.input.length} input(s) and ${config.output.length} output(s)`,
    );
  }
  const pairs = new Map<string, string>();
  config.input.forEach((input, index) => {
    const output = config.output[index];
    if (output === undefined) return;
    if (output.dataType !== input.dataType) {
      throw invalidArgument(
        `identity model '${config.name}' must have the same data type for input '${input.name}' and output '${output.name}'`,
      );
    }
    pairs.set(input.name, output.name);
  });
  return pairs;
}

const NO_TIME: ExecutionReport = { computeInputNs: 0, computeInferNs: 0, computeOutputNs: 0 };

function createInstance(name: string, pairs: ReadonlyMap<string, string>, delayMs: number): BackendInstance {
  const pending = new Set<NodeJS.Timeout>();
  const answer = (units: readonly ExecutionUnit[]): void => {
    for (const unit of units) unit.respond(outputsOf(unit, pairs), true);
  };
  return {
    name,
    execute(units, done) {
      const start = systemClock.now();
      if (delayMs === 0) {
        answer(units);
        done(NO_TIME);
        return;
      }
      const timer = setTimeout(() => {
        pending.delete(timer);
        answer(units);
        done({ ...NO_TIME, computeInferNs: systemClock.now() - start });
      }, delayMs);
      pending.add(timer);
    },
    async [Symbol.asyncDispose]() {
      for (const timer of pending) clearTimeout(timer);
    },
  };
}

function outputsOf(unit: ExecutionUnit, pairs: ReadonlyMap<string, string>): Tensor[] {
  const outputs: Tensor[] = [];
  for (const input of unit.inputs) {
    const name = pairs.get(input.name);
    if (name === undefined || (unit.outputs && !unit.outputs.has(name))) continue;
    outputs.push({ name, datatype: input.datatype, shape: input.shape, data: input.data });
  }
  return outputs;
}
