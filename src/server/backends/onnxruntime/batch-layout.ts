import { type DataType, ELEMENT_SIZE, type Shape, type Tensor } from '../../../tensor/index.ts';
import type { ExecutionUnit } from '../contract.ts';
import type { OnnxTensorInfo, SlotLayout, SlotTensor } from './messages.ts';

/** Tensors start at multiples of this, so that the runtime's vector code and every typed array are content. */
const ALIGNMENT = 64;

/** What a layout is made for: the shapes of a whole batch, or `undefined` for BYTES inputs, whose size varies. */
export function layoutKey(
  units: readonly ExecutionUnit[],
  rows: number,
  fixedShapes: boolean,
): string | number | undefined {
  if (fixedShapes) return rows;
  const [first] = units;
  if (!first) return undefined;
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
    place(input.name, input.datatype, batchShape(input, rows, plan), totalBytes(units, index)),
  );
  const outputs: SlotTensor[] = [];
  const dynamicOutputs: string[] = [];
  for (const output of plan.outputs) {
    const shape = knownShape(output, rows, plan.batching) ?? learned?.get(output.name);
    if (shape && output.datatype !== undefined) {
      const elements = shape.reduce((count, dim) => count * dim, 1);
      outputs.push(place(output.name, output.datatype, shape, elements * ELEMENT_SIZE[output.datatype]));
    } else {
      dynamicOutputs.push(output.name);
    }
  }
  return { buffer: new SharedArrayBuffer(size), inputs, outputs, dynamicOutputs };
}

function batchShape(input: Tensor, rows: number, plan: LayoutPlan): Shape {
  if (plan.scalars.has(input.name)) return [];
  return plan.batching ? [rows, ...input.shape.slice(1)] : input.shape;
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
  layout.inputs.forEach((slot, index) => {
    let offset = slot.offset;
    for (const unit of units) {
      const data = unit.inputs[index]?.data;
      if (!data) continue;
      bytes.set(data, offset);
      offset += data.length;
    }
  });
}
