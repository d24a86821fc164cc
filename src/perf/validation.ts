import { fromBinary } from '@bufbuild/protobuf';
import { ClientError } from '../client/index.ts';
import { ModelInferResponseSchema, ModelStreamInferResponseSchema } from '../protocol/generated/grpc_service_pb.js';
import type { ModelInfo } from './model-info.ts';
import type { PerfOptions } from './options.ts';
import type { NextRequest } from './requests.ts';

type Validator = (request: NextRequest, body: Buffer) => ClientError | undefined;

/** Compares responses with the `validation_data` of the input file, for outputs that come as binary tensors. */
export function createValidator(
  model: ModelInfo,
  { protocol, streaming, jsonOutputs, sharedMemory }: PerfOptions,
): Validator | undefined {
  if (jsonOutputs || sharedMemory) return undefined;
  const read = protocol === 'http' ? readHttp : streaming ? readStream : readUnary;
  return ({ steps }, body) => {
    const [first] = steps;
    if (!first || first.expected.size === 0) return undefined;
    const outputs = read(body);
    for (const [name] of first.expected) {
      const expected = Buffer.concat(steps.map(({ expected: values }) => values.get(name) ?? Buffer.alloc(0)));
      const actual = outputs.get(name);
      if (!actual) return new ClientError('protocol', `the response has no output '${name}' to validate`);
      if (!expected.equals(actual))
        return new ClientError(
          'protocol',
          `output '${name}' of model '${model.name}' is not what validation_data says`,
        );
    }
    return undefined;
  };
}

function readHttp(body: Buffer): ReadonlyMap<string, Buffer> {
  // The header is JSON, and what follows its end are the tensors in order.
  const end = jsonEnd(body);
  const { outputs = [] } = JSON.parse(body.toString('utf8', 0, end)) as {
    readonly outputs?: readonly {
      readonly name: string;
      readonly parameters?: { readonly binary_data_size?: number };
    }[];
  };
  let at = end;
  return new Map(
    outputs.map(({ name, parameters }) => {
      const from = at;
      at += parameters?.binary_data_size ?? 0;
      return [name, body.subarray(from, at)];
    }),
  );
}

function jsonEnd(body: Buffer): number {
  let depth = 0;
  let quoted = false;
  for (let index = 0; index < body.length; index++) {
    const byte = body[index];
    if (quoted) {
      if (byte === 0x5c) index++;
      else if (byte === 0x22) quoted = false;
    } else if (byte === 0x22) quoted = true;
    else if (byte === 0x7b) depth++;
    else if (byte === 0x7d && --depth === 0) return index + 1;
  }
  return body.length;
}

function readUnary(message: Buffer): ReadonlyMap<string, Buffer> {
  const { outputs, rawOutputContents } = fromBinary(ModelInferResponseSchema, message);
  return new Map(outputs.map(({ name }, index) => [name, Buffer.from(rawOutputContents[index] ?? [])]));
}

function readStream(message: Buffer): ReadonlyMap<string, Buffer> {
  const { inferResponse } = fromBinary(ModelStreamInferResponseSchema, message);
  const contents = inferResponse?.rawOutputContents ?? [];
  return new Map((inferResponse?.outputs ?? []).map(({ name }, index) => [name, Buffer.from(contents[index] ?? [])]));
}
