import type { Tensor as OrtTensor } from 'onnxruntime-common';
import { NANOS_PER_MILLI } from '../../../core/index.ts';
import { type DataType, decodeStrings, encodeStrings } from '../../../tensor/index.ts';
import { onnxTypeOf, typedView, wireTypeOf } from './element-types.ts';
import type { DynamicOutput, RunResult, SlotLayout, SlotTensor } from './messages.ts';
import type { NativeRuntime, NativeSession } from './native-runtime.ts';

/** A layout with the runtime's tensor objects over it. */
export interface PreparedSlot {
  readonly session: number;
  readonly feeds: Record<string, OrtTensor>;
  readonly fetches: Record<string, OrtTensor | null>;
  readonly layout: SlotLayout;
  /** All inputs are plain numbers and all outputs preallocated: a run has nothing to convert. */
  readonly direct: boolean;
  /** Memory of the tensors where the runtime cannot use the layout's own. */
  readonly staging: Uint8Array | undefined;
}

const RUN_OPTIONS = {};
const NO_OUTPUTS: RunResult['outputs'] = [];

/** Makes the runtime's tensor objects for a layout. */
export function prepareSlot(runtime: NativeRuntime, session: number, layout: SlotLayout): PreparedSlot {
  const staging = runtime.takesSharedMemory ? undefined : new Uint8Array(layout.buffer.byteLength);
  const memory = staging?.buffer ?? layout.buffer;
  const numeric = layout.inputs.filter((input) => input.datatype !== 'BYTES');
  const feeds = Object.fromEntries(numeric.map((input) => [input.name, tensorOver(runtime, memory, input)]));
  const fetches: Record<string, OrtTensor | null> = Object.fromEntries(
    layout.outputs.map((output) => [output.name, tensorOver(runtime, memory, output)]),
  );
  for (const name of layout.dynamicOutputs) fetches[name] = null;
  const direct = numeric.length === layout.inputs.length && layout.dynamicOutputs.length === 0;
  return { session, feeds, fetches, layout, direct, staging };
}

function tensorOver(runtime: NativeRuntime, memory: ArrayBufferLike, tensor: SlotTensor): OrtTensor {
  const type = onnxTypeOf(tensor.datatype);
  const view = typedView(tensor.datatype, memory, tensor.offset, tensor.byteLength);
  return new runtime.Tensor(type as 'float32', view as Float32Array, tensor.shape);
}

/** Runs a session on a slot; throws the runtime's error. */
export function runSlot(runtime: NativeRuntime, session: NativeSession, slot: PreparedSlot): RunResult {
  const start = performance.now();
  if (slot.staging) copyRegions(slot.layout.inputs, new Uint8Array(slot.layout.buffer), slot.staging);
  const feeds = slot.direct ? slot.feeds : { ...slot.feeds, ...stringFeeds(runtime, slot.layout) };
  const infer = performance.now();
  const results = session.run(feeds, slot.fetches, RUN_OPTIONS);
  const output = performance.now();
  if (slot.staging) copyRegions(slot.layout.outputs, slot.staging, new Uint8Array(slot.layout.buffer));
  const inferNs = (output - infer) * NANOS_PER_MILLI;
  if (slot.direct) return { inputNs: 0, inferNs, outputNs: 0, outputs: NO_OUTPUTS };
  const outputs = slot.layout.dynamicOutputs.map((name) => copyOut(name, results[name]));
  return {
    inputNs: (infer - start) * NANOS_PER_MILLI,
    inferNs,
    outputNs: (performance.now() - output) * NANOS_PER_MILLI,
    outputs,
  };
}

function copyRegions(tensors: readonly SlotTensor[], from: Uint8Array, to: Uint8Array): void {
  for (const { offset, byteLength } of tensors) to.set(from.subarray(offset, offset + byteLength), offset);
}

function stringFeeds(runtime: NativeRuntime, layout: SlotLayout): Record<string, OrtTensor> {
  const feeds: Record<string, OrtTensor> = {};
  for (const input of layout.inputs) {
    if (input.datatype !== 'BYTES') continue;
    const bytes = new Uint8Array(layout.buffer, input.offset, input.byteLength);
    feeds[input.name] = new runtime.Tensor('string', decodeStrings(bytes), input.shape);
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
