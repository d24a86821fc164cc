import { readFileSync } from 'node:fs';

export interface Weights {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** The FP32 tensors of a safetensors file (https://github.com/huggingface/safetensors#format). */
export function readSafetensors(path: string): (name: string) => Weights {
  const file = readFileSync(path);
  const headerBytes = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + headerBytes)) as Record<
    string,
    { readonly dtype: string; readonly shape: readonly number[]; readonly data_offsets: readonly [number, number] }
  >;
  const start = 8 + headerBytes;
  return (name) => {
    const entry = header[name];
    if (!entry) throw new Error(`${path} has no tensor '${name}'`);
    if (entry.dtype !== 'F32') throw new Error(`tensor '${name}' has type ${entry.dtype}, F32 is read`);
    const [from, to] = entry.data_offsets;
    const bytes = Uint8Array.from(file.subarray(start + from, start + to));
    return { shape: entry.shape, values: new Float32Array(bytes.buffer) };
  };
}

/** `[rows, columns]` as `[columns, rows]`. */
export function transposed({ shape, values }: Weights): Weights {
  const [rows = 0, columns = 0] = shape;
  const result = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      result[column * rows + row] = values[row * columns + column] ?? 0;
    }
  }
  return { shape: [columns, rows], values: result };
}
