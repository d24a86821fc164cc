import { internalError } from '../../../core/index.ts';
import { elementCount, formatShape, splitOffsets, type Shape, type Tensor } from '../../../tensor/index.ts';
import type { ExecutionUnit } from '../contract.ts';

/** One output of a whole batch. */
export interface BatchOutput extends Tensor {}

/**
 * Cuts a batch's outputs into one list per request: views, no copies.
 * @throws INTERNAL when an output's first dimension is not the number of rows
 */
export function splitOutputs(
  units: readonly ExecutionUnit[],
  rows: number,
  batching: boolean,
  outputs: readonly BatchOutput[],
): Tensor[][] {
  if (units.length === 1) return [outputs.slice()];
  const perUnit: Tensor[][] = units.map(() => []);
  for (const output of outputs) {
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

/** Byte offset at which each request's rows end. */
function rowEnds(output: BatchOutput, units: readonly ExecutionUnit[], rest: Shape): readonly number[] {
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
