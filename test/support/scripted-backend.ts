import { internalError } from '../../src/core/index.ts';
import { encodeStrings } from '../../src/tensor/index.ts';
import type { Backend, BackendInstance, ExecutionUnit, ModelContext } from '../../src/server/backends/contract.ts';

/**
 * A backend for what real models of the tests cannot do. The model's parameter `script` says what:
 * `repeat` is decoupled and answers once for every element of IN, `fail` fails every request, `countdown` asks for
 * another step until IN has been run that often, `echo` answers with the request's parameters as JSON; `fail_loads` is how many loads fail first, `delay_ms` how long an
 * execution takes.
 */
export function createScriptedBackend(): Backend {
  const loads = new Map<string, number>();
  return {
    name: 'scripted',
    async loadModel({ config }: ModelContext) {
      const parameter = (name: string): string => config.parameters[name]?.stringValue ?? '';
      const tries = (loads.get(config.name) ?? 0) + 1;
      loads.set(config.name, tries);
      if (tries <= Number(parameter('fail_loads') || 0)) throw internalError(`load ${tries} fails as scripted`);
      return {
        createInstance: async ({ name }) =>
          createInstance(name, parameter('script'), Number(parameter('delay_ms') || 0)),
        async [Symbol.asyncDispose]() {},
      };
    },
    async [Symbol.asyncDispose]() {},
  };
}

function createInstance(name: string, script: string, delayMs: number): BackendInstance {
  const steps = new Map<string, number>();
  const answer = (unit: ExecutionUnit): void => {
    const [input] = unit.inputs;
    if (!input) return unit.finish();
    if (script === 'fail') return unit.fail(internalError('it fails as scripted'));
    if (script === 'repeat') {
      for (let offset = 0; offset < input.data.length; offset += 4) {
        const data = input.data.slice(offset, offset + 4);
        unit.respond([{ name: 'OUT', datatype: 'INT32', shape: [1], data }], false);
      }
      return unit.finish();
    }
    if (script === 'echo') {
      const data = encodeStrings([JSON.stringify(unit.parameters)]);
      return unit.respond([{ name: 'OUT', datatype: 'BYTES', shape: [1], data }], true);
    }
    const wanted = Buffer.from(input.data).readInt32LE();
    const done = (steps.get(unit.requestId) ?? 0) + 1;
    steps.set(unit.requestId, done);
    if (done < wanted) return unit.reschedule();
    return unit.respond(
      [{ name: 'OUT', datatype: 'INT32', shape: [1], data: new Uint8Array(Int32Array.of(done).buffer) }],
      true,
    );
  };
  return {
    name,
    execute(units, done) {
      setTimeout(() => {
        for (const unit of units) answer(unit);
        done({ computeInputNs: 0, computeInferNs: 0, computeOutputNs: 0 });
      }, delayMs);
    },
    async [Symbol.asyncDispose]() {},
  };
}

/** The configuration of a scripted model with one INT32 tensor of any length in and one element out. */
export function scriptedConfig(script: string, extra = ''): string {
  return `backend: "scripted"
    input { name: "IN" data_type: TYPE_INT32 dims: -1 }
    output { name: "OUT" data_type: ${script === 'echo' ? 'TYPE_STRING' : 'TYPE_INT32'} dims: 1 }
    parameters { key: "script" value { string_value: "${script}" } }
    ${script === 'repeat' ? 'model_transaction_policy { decoupled: true }' : ''} ${extra}`;
}
