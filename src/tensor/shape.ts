/** A tensor's dimensions, outermost first. In configurations -1 stands for any size. */
export type Shape = readonly number[];

/** Number of elements; `undefined` when a dimension is variable or the product is beyond exact integers. */
export function elementCount(shape: Shape): number | undefined {
  let count = 1;
  for (const dim of shape) {
    if (dim < 0) return undefined;
    count *= dim;
    if (count > Number.MAX_SAFE_INTEGER) return undefined;
  }
  return count;
}

/** `[1,16]`, as Triton's messages print shapes. */
export function formatShape(shape: Shape): string {
  return `[${shape.join(',')}]`;
}

/** Whether `actual` fits `expected`, whose -1 dimensions match any size. */
export function shapeMatches(expected: Shape, actual: Shape): boolean {
  return expected.length === actual.length && expected.every((dim, index) => dim === -1 || dim === actual[index]);
}
