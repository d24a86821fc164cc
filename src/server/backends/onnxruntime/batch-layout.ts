import type { BatchInput } from '../../../protocol/index.ts';
import { type DataType, ELEMENT_SIZE, elementCount, type Shape, type Tensor } from '../../../tensor/index.ts';
import type { ExecutionUnit } from '../contract.ts';
import { batchInputTensors } from './batch-inputs.ts';
import type { OnnxTensorInfo, SlotLayout, SlotTensor } from './messages.ts';

/** Tensors start at multiples of this, so that the runtime's vector code and every typed array are content. */
const ALIGNMENT = 64;

/** What a layout is made for: the shapes of a whole batch, or `undefined` for BYTES inputs, whose size varies. */
export function layoutKey(
  units: readonly ExecutionUnit[],
  rows: number,
  plan: LayoutPlan & { readonly fixedShapes: boolean },
): string | number | undefined {
  if (plan.fixedShapes) return rows;
  const [first] = units;
  if (!first || plan.ragged) return undefined;
  let key = String(rows);
  for (const input of first.inputs) {
    if (input.datatype === 'BYTES') return undefined;
    key += `|${input.name}:${input.shape.join()}`;
  }
  return key;
}

export interface LayoutPlan {
  /** An output's configured name and what the model file says of it. */
  readonly outputs: readonly OnnxTensorInfo[];
  readonly batching: boolean;
  /** Inputs that the model file declares without dimensions; configurations write them as `[1]`. */
  readonly scalars: ReadonlySet<string>;
  /** Inputs that are put together without a batch dimension; `undefined` when the model has nothing of the kind. */
  readonly ragged: RaggedPlan | undefined;
}

/** How requests of different shapes share a batch. */
export interface RaggedPlan {
  readonly inputs: ReadonlySet<string>;
  readonly batchInputs: readonly BatchInput[];
  /** Outputs cut by the elements of an input, by output name. */
  readonly scatter: ReadonlyMap<string, string>;
}

/**
 * Lays a batch's inputs and those outputs whose shape is known beforehand out in one buffer.
 * @param learned shapes that outputs had for the same input shapes before
 */
export function createLayout(
  units: readonly ExecutionUnit[],
  rows: number,
  plan: LayoutPlan,
  learned?: ReadonlyMap<string, Shape>,
): SlotLayout {
  const [first] = units;
  let size = 0;
  const place = (name: string, datatype: DataType, shape: Shape, byteLength: number): SlotTensor => {
    const offset = size;
    size += Math.ceil(byteLength / ALIGNMENT) * ALIGNMENT;
    return { name, datatype, shape, offset, byteLength };
  };
  const inputs = (first?.inputs ?? []).map((input, index) =>
    place(input.name, input.datatype, batchShape(units, index, input, rows, plan), totalBytes(units, index)),
  );
  const added = plan.ragged ? batchInputTensors(units, plan.ragged.batchInputs) : [];
  const addedSlots = added.map((tensor) => place(tensor.name, tensor.datatype, tensor.shape, tensor.data.length));
  inputs.push(...addedSlots);
  const outputs: SlotTensor[] = [];
  const dynamicOutputs: string[] = [];
  for (const output of plan.outputs) {
    const shape = plan.ragged ? undefined : (knownShape(output, rows, plan.batching) ?? learned?.get(output.name));
    if (shape && output.datatype !== undefined) {
      const elements = shape.reduce((count, dim) => count * dim, 1);
      outputs.push(place(output.name, output.datatype, shape, elements * ELEMENT_SIZE[output.datatype]));
    } else {
      dynamicOutputs.push(output.name);
    }
  }
  const buffer = new SharedArrayBuffer(size);
  // A layout with added inputs serves one batch only, so their values are written here.
  added.forEach((tensor, index) => new Uint8Array(buffer).set(tensor.data, addedSlots[index]?.offset));
  return { buffer, inputs, outputs, dynamicOutputs };
}

function batchShape(
  units: readonly ExecutionUnit[],
  index: number,
  input: Tensor,
  rows: number,
  plan: LayoutPlan,
): Shape {
  if (plan.scalars.has(input.name)) return [];
  if (plan.ragged?.inputs.has(input.name)) return [totalElements(units, index)];
  return plan.batching ? [rows, ...input.shape.slice(1)] : input.shape;
}

function totalElements(units: readonly ExecutionUnit[], index: number): number {
  let elements = 0;
  for (const unit of units) elements += elementCount(unit.inputs[index]?.shape ?? [0]) ?? 0;
  return elements;
}

function totalBytes(units: readonly ExecutionUnit[], index: number): number {
  let bytes = 0;
  for (const unit of units) bytes += unit.inputs[index]?.data.length ?? 0;
  return bytes;
}

/** The output's shape for this many rows, when the model file fixes everything but the batch dimension. */
function knownShape(output: OnnxTensorInfo, rows: number, batching: boolean): Shape | undefined {
  if (output.datatype === 'BYTES' || rows === 0) return undefined;
  const fixed = batching ? output.shape.slice(1) : output.shape;
  if (fixed.some((dim) => dim < 0) || (batching && output.shape[0] !== -1)) return undefined;
  return batching ? [rows, ...fixed] : fixed;
}

/** Copies every request's input bytes into its rows of the batch: the one copy on the way in. */
export function gatherInputs(units: readonly ExecutionUnit[], layout: SlotLayout, bytes: Uint8Array): void {
  const count = units[0]?.inputs.length ?? 0;
  for (let index = 0; index < count; index++) {
    let offset = layout.inputs[index]?.offset ?? 0;
    for (const unit of units) {
      const data = unit.inputs[index]?.data;
      if (!data) continue;
      bytes.set(data, offset);
      offset += data.length;
    }
  }
}
