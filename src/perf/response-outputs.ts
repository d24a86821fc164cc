import { fromBinary } from '@bufbuild/protobuf';
import {
  type ModelInferResponse,
  ModelInferResponseSchema,
  ModelStreamInferResponseSchema,
} from '../protocol/generated/grpc_service_pb.js';
import { type DataType, isDataType } from '../tensor/index.ts';
import type { PerfOptions } from './options.ts';

/** An output that came as a binary tensor. */
export interface ResponseOutput {
  readonly datatype: DataType;
  readonly data: Buffer;
}

export type OutputReader = (body: Buffer) => ReadonlyMap<string, ResponseOutput>;

/** Reads the outputs of responses; there are none to read where they come as JSON or in shared memory. */
export function createOutputReader({
  protocol,
  streaming,
  jsonOutputs,
  sharedMemory,
}: Pick<PerfOptions, 'protocol' | 'streaming' | 'jsonOutputs' | 'sharedMemory'>): OutputReader | undefined {
  if (sharedMemory || (protocol === 'http' && jsonOutputs)) return undefined;
  if (protocol === 'http') return readHttp;
  return streaming ? readStream : (message) => readGrpc(fromBinary(ModelInferResponseSchema, message));
}

interface HttpOutput {
  readonly name: string;
  readonly datatype: string;
  readonly parameters?: { readonly binary_data_size?: number };
}

/** The header is JSON, and what follows its end are the tensors in order. */
function readHttp(body: Buffer): ReadonlyMap<string, ResponseOutput> {
  let at = jsonEnd(body);
  const { outputs = [] } = JSON.parse(body.toString('utf8', 0, at)) as { readonly outputs?: readonly HttpOutput[] };
  const found = new Map<string, ResponseOutput>();
  for (const { name, datatype, parameters } of outputs) {
    const from = at;
    at += parameters?.binary_data_size ?? 0;
    if (isDataType(datatype)) found.set(name, { datatype, data: body.subarray(from, at) });
  }
  return found;
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

function readStream(message: Buffer): ReadonlyMap<string, ResponseOutput> {
  const { inferResponse } = fromBinary(ModelStreamInferResponseSchema, message);
  return inferResponse ? readGrpc(inferResponse) : new Map();
}

function readGrpc({ outputs, rawOutputContents }: ModelInferResponse): ReadonlyMap<string, ResponseOutput> {
  const found = new Map<string, ResponseOutput>();
  for (const [index, { name, datatype }] of outputs.entries()) {
    if (isDataType(datatype)) found.set(name, { datatype, data: Buffer.from(rawOutputContents[index] ?? []) });
  }
  return found;
}
