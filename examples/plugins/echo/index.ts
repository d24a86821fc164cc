/**
 * A backend outside the server: its models send every input back as the output of the same position.
 *
 *   goodput serve --model-repository=... --backend-directory=examples/plugins
 *
 * As an npm package it would be called goodput-backend-echo, and need no flag.
 */
import { type Backend, type BackendInstance, invalidArgument, type ModelContext } from 'goodput/backend';

export default function createEchoBackend(): Backend {
  return {
    name: 'echo',
    async loadModel({ config }: ModelContext) {
      if (config.input.length !== config.output.length) {
        throw invalidArgument(
          `echo model '${config.name}' must have as many outputs as inputs, has ${config.input.length} and ${config.output.length}`,
        );
      }
      const names = new Map(config.input.map((input, index) => [input.name, config.output[index]?.name ?? '']));
      return {
        createInstance: async ({ name }) => createInstance(name, names),
        async [Symbol.asyncDispose]() {},
      };
    },
    async [Symbol.asyncDispose]() {},
  };
}

function createInstance(name: string, names: ReadonlyMap<string, string>): BackendInstance {
  return {
    name,
    execute(units, done) {
      for (const unit of units) {
        const outputs = unit.inputs.map((input) => ({ ...input, name: names.get(input.name) ?? '' }));
        unit.respond(
          outputs.filter((output) => unit.outputs?.has(output.name) ?? true),
          true,
        );
      }
      done({ computeInputNs: 0, computeInferNs: 0, computeOutputNs: 0 });
    },
    async [Symbol.asyncDispose]() {},
  };
}
