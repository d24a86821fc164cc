import { create, toBinary } from '@bufbuild/protobuf';
import { gzipSync, deflateSync } from 'node:zlib';
import { type Endpoint, type ExtraHeaders, modelPath, requestHead } from '../client/index.ts';
import { grpcFrame, type ParameterValue } from '../protocol/index.ts';
import { type ModelInferRequest, ModelInferRequestSchema } from '../protocol/generated/grpc_service_pb.js';
import { tensorToJson } from '../tensor/index.ts';
import type { DataStep, StepTensor } from './input-data.ts';
import type { ModelInfo } from './model-info.ts';
import type { PerfOptions } from './options.ts';

/** Where a request belongs in a sequence. */
export interface SequencePlace {
  readonly id: number;
  readonly start: boolean;
  readonly end: boolean;
}

/** A tensor that lies in shared memory. */
export interface MemoryPlace {
  readonly region: string;
  readonly byteSize: number;
  readonly offset: number;
}

/** What a request says besides the values of its inputs. */
export interface RequestExtras {
  readonly id: string;
  readonly sequence: SequencePlace | undefined;
}

/** Where inputs and outputs lie when they do not travel with requests. */
export interface RequestMemory {
  /** By the position of the steps among the data, and the name of the input. */
  input(step: DataStep, name: string): MemoryPlace;
  output(name: string): MemoryPlace;
}

type EncoderOptions = Pick<
  PerfOptions,
  'batchSize' | 'parameters' | 'jsonInputs' | 'jsonOutputs' | 'compression' | 'endpoint' | 'headers' | 'streaming'
>;

/** An input with the rows of a whole batch. */
interface BatchTensor extends StepTensor {
  readonly step: DataStep;
}

/** Puts the rows of a batch together. Rows of different shapes do not go into one batch. */
function batchOf(steps: readonly DataStep[], model: ModelInfo): readonly BatchTensor[] {
  const [first] = steps;
  if (!first) return [];
  if (first.whole) return first.inputs.map((input) => ({ ...input, step: first }));
  return first.inputs.map((input): BatchTensor => {
    if (model.maxBatchSize === 0) return { ...input, step: first };
    const rows = steps.map(({ inputs }) => inputs.find(({ name }) => name === input.name)?.data ?? input.data);
    const data = rows.length === 1 ? input.data : Buffer.concat(rows);
    return { ...input, shape: [steps.length, ...input.shape], data, step: first };
  });
}

/** Makes the bytes of requests. */
export interface RequestEncoder {
  /** The parts of a request, written one after the other; for gRPC it is one message with its frame. */
  encode(steps: readonly DataStep[], extras: RequestExtras): readonly Uint8Array[];
}

export function createHttpEncoder(
  model: ModelInfo,
  options: EncoderOptions,
  memory: RequestMemory | undefined,
): RequestEncoder {
  const path = `${modelPath(model.name, model.version)}/infer`;
  return {
    encode(steps, extras) {
      const tensors = batchOf(steps, model);
      const json = {
        ...(extras.id === '' ? {} : { id: extras.id }),
        parameters: {
          ...jsonParameters(options.parameters),
          ...(extras.sequence ? sequenceParameters(extras.sequence) : {}),
          ...(memory || options.jsonOutputs ? {} : { binary_data_output: true }),
        },
        inputs: tensors.map((tensor) => jsonInput(tensor, options.jsonInputs, memory)),
        ...(memory
          ? { outputs: model.outputs.map(({ name }) => ({ name, parameters: memoryParameters(memory.output(name)) })) }
          : {}),
      };
      const header = Buffer.from(JSON.stringify(json));
      const binary = memory || options.jsonInputs ? [] : tensors.map(({ data }) => data);
      const headers = [...options.headers];
      if (binary.length > 0)
        headers.push(
          ['Content-Type', 'application/octet-stream'],
          ['Inference-Header-Content-Length', String(header.length)],
        );
      else headers.push(['Content-Type', 'application/json']);
      return withHead(path, options, headers, [header, ...binary]);
    },
  };
}

function withHead(
  path: string,
  { endpoint, compression }: { readonly endpoint: Endpoint; readonly compression: string },
  headers: ExtraHeaders,
  parts: readonly Uint8Array[],
): readonly Uint8Array[] {
  const body = compression === 'none' ? parts : [pack(Buffer.concat(parts), compression)];
  const coding: ExtraHeaders = compression === 'none' ? [] : [['Content-Encoding', compression]];
  const length = body.reduce((sum, part) => sum + part.length, 0);
  const head = Buffer.from(requestHead('POST', path, endpoint, [...headers, ...coding], length), 'latin1');
  // Small requests are one buffer, which is one write.
  return length > 65_536 ? [head, ...body] : [Buffer.concat([head, ...body])];
}

function pack(bytes: Buffer, compression: string): Buffer {
  return compression === 'gzip' ? gzipSync(bytes) : deflateSync(bytes);
}

function jsonInput(tensor: BatchTensor, asJson: boolean, memory: RequestMemory | undefined): object {
  const { name, datatype, shape, data } = tensor;
  const head = { name, datatype, shape };
  if (memory) return { ...head, parameters: memoryParameters(memory.input(tensor.step, name)) };
  if (!asJson) return { ...head, parameters: { binary_data_size: data.length } };
  return { ...head, data: JSON.parse(tensorToJson(data, datatype)) as unknown };
}

function memoryParameters({ region, byteSize, offset }: MemoryPlace): object {
  return {
    shared_memory_region: region,
    shared_memory_byte_size: byteSize,
    ...(offset > 0 ? { shared_memory_offset: offset } : {}),
  };
}

function sequenceParameters({ id, start, end }: SequencePlace): object {
  return { sequence_id: id, sequence_start: start, sequence_end: end };
}

function jsonParameters(parameters: Readonly<Record<string, ParameterValue>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, value]) => [name, typeof value === 'bigint' ? Number(value) : value]),
  );
}

type GrpcParameter = ModelInferRequest['parameters'][string]['parameterChoice'];

export function createGrpcEncoder(
  model: ModelInfo,
  options: EncoderOptions,
  memory: RequestMemory | undefined,
): RequestEncoder {
  const fixed = Object.entries(options.parameters).map(([name, value]) => [name, grpcParameter(value)] as const);
  return {
    encode(steps, extras) {
      const tensors = batchOf(steps, model);
      const parameters: [string, { parameterChoice: GrpcParameter }][] = fixed.map(([name, value]) => [
        name,
        { parameterChoice: value },
      ]);
      if (extras.sequence) {
        const { id, start, end } = extras.sequence;
        for (const [name, value] of Object.entries({ sequence_id: id, sequence_start: start, sequence_end: end })) {
          parameters.push([name, { parameterChoice: grpcParameter(value) }]);
        }
      }
      if (model.decoupled)
        parameters.push([
          'triton_enable_empty_final_response',
          { parameterChoice: { case: 'boolParam', value: true } },
        ]);
      const places = (place: MemoryPlace): Record<string, { parameterChoice: GrpcParameter }> =>
        Object.fromEntries(
          Object.entries(memoryParameters(place)).map(([name, value]) => [
            name,
            { parameterChoice: grpcParameter(value as ParameterValue) },
          ]),
        );
      const message = create(ModelInferRequestSchema, {
        modelName: model.name,
        modelVersion: model.version,
        id: extras.id,
        parameters: Object.fromEntries(parameters),
        inputs: tensors.map((tensor) => ({
          name: tensor.name,
          datatype: tensor.datatype,
          shape: tensor.shape.map(BigInt),
          ...(memory ? { parameters: places(memory.input(tensor.step, tensor.name)) } : {}),
        })),
        ...(memory
          ? { outputs: model.outputs.map(({ name }) => ({ name, parameters: places(memory.output(name)) })) }
          : {}),
        ...(memory ? {} : { rawInputContents: tensors.map(({ data }) => data) }),
      });
      const frame = grpcFrame(toBinary(ModelInferRequestSchema, message));
      return [options.compression === 'none' ? frame : packFrame(frame, options.compression)];
    },
  };
}

function packFrame(frame: Uint8Array, compression: string): Buffer {
  const packed = pack(Buffer.from(frame.subarray(5)), compression);
  const head = Buffer.alloc(5);
  head.writeUInt8(1);
  head.writeUInt32BE(packed.length, 1);
  return Buffer.concat([head, packed]);
}

function grpcParameter(value: ParameterValue): GrpcParameter {
  switch (typeof value) {
    case 'string':
      return { case: 'stringParam', value };
    case 'boolean':
      return { case: 'boolParam', value };
    case 'bigint':
      return { case: 'int64Param', value };
    case 'number':
      return Number.isInteger(value) ? { case: 'int64Param', value: BigInt(value) } : { case: 'doubleParam', value };
    default:
      return value satisfies never;
  }
}
