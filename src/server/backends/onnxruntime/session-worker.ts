/**
 * A worker thread that owns ONNX Runtime sessions. It handles one message at a time, in order, and answers each
 * `load`, `unload` and run with exactly one message, so the other side needs no ids to match answers.
 */
import { createRequire } from 'node:module';
import { parentPort } from 'node:worker_threads';
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-common';
import { errorMessage } from '../../../core/index.ts';
import { type DataType, decodeBytes, encodeStrings } from '../../../tensor/index.ts';
import { onnxTypeOf, typedView, wireTypeOf } from './element-types.ts';
import type { DynamicOutput, FromWorker, OnnxModelInfo, RunResult, SlotLayout, SlotTensor, ToWorker } from './messages.ts';

type Ort = typeof import('onnxruntime-common');

interface PreparedSlot {
  readonly session: number;
  readonly feeds: Record<string, OrtTensor>;
  readonly fetches: Record<string, OrtTensor | null>;
  readonly layout: SlotLayout;
  /** All inputs are plain numbers and all outputs preallocated: a run has nothing to convert. */
  readonly direct: boolean;
}

const port = parentPort;
if (!port) throw new Error('session-worker must run in a worker thread');

const ort = loadRuntime();
const sessions = new Map<number, InferenceSession>();
const slots = new Map<number, PreparedSlot>();
const nsPerMs = 1e6;

/**
 * The binding reads FP16 tensors as 16-bit integers and takes a `Float16Array` for empty, which newer JavaScript
 * engines make out of them: without that class the library stays with `Uint16Array`.
 */
function loadRuntime(): Ort {
  process.env['ORT_DISABLE_TELEMETRY'] = '1';
  Reflect.deleteProperty(globalThis, 'Float16Array');
  const require = createRequire(import.meta.url);
  return require('onnxruntime-node') as Ort;
}

const queue: ToWorker[] = [];
let busy = false;

port.on('message', (message: ToWorker) => {
  queue.push(message);
  if (!busy) void drain();
});

async function drain(): Promise<void> {
  busy = true;
  for (let message = queue.shift(); message !== undefined; message = queue.shift()) {
    const answer = await handle(message).catch(
      (error: unknown): FromWorker => ({ kind: 'failed', message: errorMessage(error) }),
    );
    if (answer !== undefined) port?.postMessage(answer);
  }
  busy = false;
}

async function handle(message: ToWorker): Promise<FromWorker | undefined> {
  if (typeof message === 'number') {
    const slot = slots.get(message);
    if (!slot) throw new Error(`slot ${message} is not defined`);
    return run(slot);
  }
  switch (message.kind) {
    case 'load': {
      const session = await ort.InferenceSession.create(message.path, {
        ...message.options,
        executionProviders: [...message.options.executionProviders],
        logSeverityLevel: 4,
      });
      sessions.set(message.session, session);
      return { kind: 'loaded', info: describe(session) };
    }
    case 'unload': {
      const session = sessions.get(message.session);
      sessions.delete(message.session);
      for (const [id, slot] of slots) if (slot.session === message.session) slots.delete(id);
      await session?.release();
      return { kind: 'done' };
    }
    case 'define':
      slots.set(message.slot, prepare(message.session, message.layout));
      return undefined;
    case 'forget':
      slots.delete(message.slot);
      return undefined;
    case 'run-once':
      return run(prepare(message.session, message.layout));
    default:
      return message satisfies never;
  }
}

function prepare(session: number, layout: SlotLayout): PreparedSlot {
  const numeric = layout.inputs.filter((input) => input.datatype !== 'BYTES');
  const feeds = Object.fromEntries(numeric.map((input) => [input.name, tensorOver(layout, input)]));
  const fetches: Record<string, OrtTensor | null> = Object.fromEntries(
    layout.outputs.map((output) => [output.name, tensorOver(layout, output)]),
  );
  for (const name of layout.dynamicOutputs) fetches[name] = null;
  const direct = numeric.length === layout.inputs.length && layout.dynamicOutputs.length === 0;
  return { session, feeds, fetches, layout, direct };
}

function tensorOver(layout: SlotLayout, tensor: SlotTensor): OrtTensor {
  const type = onnxTypeOf(tensor.datatype);
  const view = typedView(tensor.datatype, layout.buffer, tensor.offset, tensor.byteLength);
  return new ort.Tensor(type as 'float32', view as Float32Array, tensor.shape);
}

async function run(slot: PreparedSlot): Promise<FromWorker> {
  const session = sessions.get(slot.session);
  if (!session) throw new Error('the session is not loaded');
  const start = performance.now();
  const feeds = slot.direct ? slot.feeds : { ...slot.feeds, ...stringFeeds(slot.layout) };
  const infer = performance.now();
  const results = await session.run(feeds, slot.fetches);
  const output = performance.now();
  if (slot.direct) return (output - infer) * nsPerMs;
  const outputs = slot.layout.dynamicOutputs.map((name) => copyOut(name, results[name]));
  const result: RunResult = {
    inputNs: (infer - start) * nsPerMs,
    inferNs: (output - infer) * nsPerMs,
    outputNs: (performance.now() - output) * nsPerMs,
    outputs,
  };
  return { kind: 'result', ...result };
}

function stringFeeds(layout: SlotLayout): Record<string, OrtTensor> {
  const feeds: Record<string, OrtTensor> = {};
  for (const input of layout.inputs) {
    if (input.datatype !== 'BYTES') continue;
    const bytes = new Uint8Array(layout.buffer, input.offset, input.byteLength);
    const texts = decodeBytes(bytes).map((element) =>
      Buffer.from(element.buffer, element.byteOffset, element.byteLength).toString('utf8'),
    );
    feeds[input.name] = new ort.Tensor('string', texts, input.shape);
  }
  return feeds;
}

function copyOut(name: string, tensor: OrtTensor | undefined): DynamicOutput {
  if (!tensor) throw new Error(`the model gave no output '${name}'`);
  const datatype = wireTypeOf(tensor.type);
  if (datatype === undefined) throw new Error(`output '${name}' has type ${tensor.type}, which cannot be served`);
  return { name, datatype, shape: [...tensor.dims], data: shareBytes(datatype, tensor) };
}

function shareBytes(datatype: DataType, tensor: OrtTensor): Uint8Array {
  const source =
    datatype === 'BYTES'
      ? encodeStrings(tensor.data as string[])
      : new Uint8Array(
          (tensor.data as Uint8Array).buffer,
          (tensor.data as Uint8Array).byteOffset,
          (tensor.data as Uint8Array).byteLength,
        );
  const shared = new Uint8Array(new SharedArrayBuffer(source.length));
  shared.set(source);
  return shared;
}

function describe(session: InferenceSession): OnnxModelInfo {
  const tensors = (metadata: readonly InferenceSession.ValueMetadata[]): OnnxModelInfo['inputs'] =>
    metadata.map((value) =>
      value.isTensor
        ? {
            name: value.name,
            datatype: wireTypeOf(value.type),
            onnxType: value.type,
            shape: value.shape.map((dim) => (typeof dim === 'number' ? dim : -1)),
          }
        : { name: value.name, datatype: undefined, onnxType: 'not a tensor', shape: [] },
    );
  return { inputs: tensors(session.inputMetadata), outputs: tensors(session.outputMetadata) };
}
