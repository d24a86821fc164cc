import { internalError } from '../../../core/index.ts';
import {
  ELEMENT_SIZE,
  elementCount,
  formatShape,
  splitOffsets,
  type Shape,
  type Tensor,
} from '../../../tensor/index.ts';
import type { ExecutionUnit } from '../contract.ts';
import type { LayoutPlan } from './batch-layout.ts';

/**
 * Cuts a batch's outputs into one list per request: views, no copies.
 * @throws INTERNAL when an output's first dimension is not the number of rows
 */
export function splitOutputs(
  units: readonly ExecutionUnit[],
  rows: number,
  plan: LayoutPlan,
  outputs: readonly Tensor[],
): Tensor[][] {
  const { batching, ragged } = plan;
  if (units.length === 1 && !ragged) return [outputs.slice()];
  const perUnit: Tensor[][] = units.map(() => []);
  for (const output of outputs) {
    const source = ragged?.scatter.get(output.name);
    if (source !== undefined) {
      scatter(units, output, source).forEach((tensor, index) => perUnit[index]?.push(tensor));
      continue;
    }
    if (!batching || output.shape[0] !== rows) {
      throw internalError(
        `output '${output.name}' has shape ${formatShape(output.shape)} for a batch of ${rows} rows: its first dimension must be the batch`,
      );
    }
    const rest = output.shape.slice(1);
    const ends = rowEnds(output, units, rest);
    let start = 0;
    units.forEach((unit, index) => {
      const end = ends[index] ?? start;
      perUnit[index]?.push({
        name: output.name,
        datatype: output.datatype,
        shape: [unit.batchSize, ...rest],
        data: output.data.subarray(start, end),
      });
      start = end;
    });
  }
  return perUnit;
}

/** Gives every request as many elements as its input had, in that input's shape (`BATCH_SCATTER_WITH_INPUT_SHAPE`). */
function scatter(units: readonly ExecutionUnit[], output: Tensor, source: string): readonly Tensor[] {
  const shapes = units.map((unit) => unit.inputs.find((input) => input.name === source)?.shape ?? [0]);
  const counts = shapes.map((shape) => elementCount(shape) ?? 0);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const found = elementCount(output.shape) ?? 0;
  if (found !== total) {
    throw internalError(
      `output '${output.name}' has ${found} elements, input '${source}', whose shapes it takes, has ${total} in this batch`,
    );
  }
  const size = ELEMENT_SIZE[output.datatype];
  const ends = output.datatype === 'BYTES' ? splitOffsets(output.data, counts) : undefined;
  let elements = 0;
  let start = 0;
  return shapes.map((shape, index) => {
    elements += counts[index] ?? 0;
    const end = ends ? (ends[index] ?? start) : elements * size;
    const data = output.data.subarray(start, end);
    start = end;
    return { name: output.name, datatype: output.datatype, shape, data };
  });
}

/** Byte offset at which each request's rows end. */
function rowEnds(output: Tensor, units: readonly ExecutionUnit[], rest: Shape): readonly number[] {
  if (output.datatype === 'BYTES') {
    const perRow = elementCount(rest) ?? 0;
    return splitOffsets(
      output.data,
      units.map((unit) => unit.batchSize * perRow),
    );
  }
  const rows = output.shape[0] ?? 1;
  const rowBytes = rows === 0 ? 0 : output.data.length / rows;
  let end = 0;
  return units.map((unit) => (end += unit.batchSize * rowBytes));
}
