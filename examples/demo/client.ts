/** A KServe v2 client in forty lines: JSON header, binary tensors. */

export interface ClientTensor {
  readonly name: string;
  readonly datatype: 'FP32' | 'INT64' | 'INT32' | 'UINT8';
  readonly shape: readonly number[];
  readonly data: Float32Array | BigInt64Array | Int32Array | Uint8Array;
}

export interface ResultTensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

/**
 * Sends tensors to a model and returns what came back, by name.
 * @param parameters of the request: `sequence_id`, `sequence_start` and the like
 */
export async function infer(
  base: string,
  model: string,
  inputs: readonly ClientTensor[],
  parameters: Readonly<Record<string, string | number | boolean>> = {},
): Promise<Map<string, ResultTensor>> {
  const header = JSON.stringify({
    inputs: inputs.map(({ name, datatype, shape, data }) => ({
      name,
      datatype,
      shape,
      parameters: { binary_data_size: data.byteLength },
    })),
    parameters: { ...parameters, binary_data_output: true },
  });
  const head = Buffer.from(header);
  const tensors = inputs.map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  const response = await fetch(`${base}/v2/models/${model}/infer`, {
    method: 'POST',
    headers: { 'Inference-Header-Content-Length': String(head.length) },
    body: Buffer.concat([head, ...tensors]),
  });
  const body = Buffer.from(await response.arrayBuffer());
  if (!response.ok) throw new Error(`${model}: ${response.status} ${body.toString()}`);
  return decode(body, Number(response.headers.get('Inference-Header-Content-Length')));
}

interface ResponseHeader {
  readonly outputs: readonly {
    readonly name: string;
    readonly datatype: string;
    readonly shape: readonly number[];
    readonly parameters: { readonly binary_data_size: number };
  }[];
}

function decode(body: Buffer, headerLength: number): Map<string, ResultTensor> {
  const { outputs } = JSON.parse(body.toString('utf8', 0, headerLength)) as ResponseHeader;
  let offset = headerLength;
  const results = new Map<string, ResultTensor>();
  for (const { name, datatype, shape, parameters } of outputs) {
    // A copy, so that the typed array is aligned.
    const bytes = new Uint8Array(body.subarray(offset, offset + parameters.binary_data_size));
    offset += parameters.binary_data_size;
    results.set(name, { name, datatype, shape, data: numbersOf(datatype, bytes.buffer) });
  }
  return results;
}

function numbersOf(datatype: string, buffer: ArrayBuffer): ResultTensor['data'] {
  switch (datatype) {
    case 'INT32':
      return new Int32Array(buffer);
    case 'INT64':
      // Small whole numbers: what the demonstration gets fits.
      return Int32Array.from(new BigInt64Array(buffer), Number);
    default:
      return new Float32Array(buffer);
  }
}

export function output(results: ReadonlyMap<string, ResultTensor>, name: string): ResultTensor {
  const tensor = results.get(name);
  if (!tensor) throw new Error(`the answer has no output '${name}'`);
  return tensor;
}
