import type { Tensor } from '../../../tensor/index.ts';
import type { WireTensor } from './messages.ts';
import type { ReadRegion, WrittenRegion } from './shared-region.ts';

/** Larger tensors travel through shared memory. */
const INLINE_BYTES = 16 * 1024;

/** The bytes that travel in a message itself, while it is put together. */
export class InlineBytes {
  readonly parts: Uint8Array[] = [];
  size = 0;

  add(data: Uint8Array): number {
    const offset = this.size;
    this.parts.push(data);
    this.size += data.length;
    return offset;
  }
}

export function tensorsToWire(tensors: readonly Tensor[], region: WrittenRegion, inline: InlineBytes): WireTensor[] {
  return tensors.map(({ name, datatype, shape, data }): WireTensor => {
    if (data.length > INLINE_BYTES) {
      const offset = region.write(data);
      if (offset !== undefined) return [name, datatype, shape, 1, offset, data.length];
    }
    return [name, datatype, shape, 0, inline.add(data), data.length];
  });
}

/**
 * Tensors of a message, over its bytes or copies of shared memory.
 * @param read gets the pieces of shared memory that can be used again
 */
export function tensorsFromWire(
  wire: readonly WireTensor[],
  payload: Buffer,
  region: ReadRegion,
  read: number[],
): Tensor[] {
  return wire.map(([name, datatype, shape, place, offset, length]) => {
    if (place === 0) return { name, datatype, shape, data: payload.subarray(offset, offset + length) };
    const data = region.read(offset, length);
    read.push(offset);
    return { name, datatype, shape, data };
  });
}
