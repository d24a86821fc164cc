import type { DataType } from './data-type.ts';
import type { Shape } from './shape.ts';

/**
 * A named tensor over bytes that somebody else owns: row-major, little-endian, `BYTES` with length prefixes.
 * The bytes may lie in a `SharedArrayBuffer`; how long they stay valid is the owner's contract.
 */
export interface Tensor {
  readonly name: string;
  readonly datatype: DataType;
  readonly shape: Shape;
  readonly data: Uint8Array;
}
