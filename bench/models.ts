import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { ModelInferRequestSchema } from '../src/protocol/generated/grpc_service_pb.js';
import { grpcFrame } from '../src/protocol/index.ts';
import { addSubModel, identityModel, mlpModel } from '../test/fixtures/onnx-builder.ts';
import type { LoadTarget } from './load.ts';

export const MLP_WIDTH = 512;
export const MLP_BATCH = 32;
export const LARGE_BYTES = 16 * 1024 * 1024;

const CPU = 'instance_group [ { kind: KIND_CPU count: 1 } ]';

/** The models of the benchmark: add/sub, an MLP, a large identity. */
export function makeRepository(): string {
  const repository = mkdtempSync(join(tmpdir(), 'goodput-bench-models-'));
  const write = (name: string, config: string, model: Buffer): void => {
    mkdirSync(join(repository, name, '1'), { recursive: true });
    writeFileSync(join(repository, name, 'config.pbtxt'), config);
    writeFileSync(join(repository, name, '1', 'model.onnx'), model);
  };
  const tensors = (dims: string, count: number): string =>
    ['input', 'output']
      .map((kind) =>
        Array.from(
          { length: count },
          (_, index) => `${kind} { name: "${kind.toUpperCase()}${index}" data_type: TYPE_FP32 dims: ${dims} }`,
        ).join('\n'),
      )
      .join('\n');
  write(
    'simple',
    `backend: "onnxruntime" max_batch_size: 64 dynamic_batching { } ${CPU} ${tensors('16', 2)}`,
    addSubModel('FP32', ['N', 16]),
  );
  const width = String(MLP_WIDTH);
  write(
    'mlp',
    `backend: "onnxruntime" max_batch_size: 64 dynamic_batching { } ${CPU} ${tensors(width, 1)}`,
    mlpModel(4, MLP_WIDTH),
  );
  write('mlp_nobatch', `backend: "onnxruntime" max_batch_size: 64 ${CPU} ${tensors(width, 1)}`, mlpModel(4, MLP_WIDTH));
  write(
    'large',
    `backend: "onnxruntime" max_batch_size: 0 ${CPU} ${tensors('[ -1 ]', 1)}`,
    identityModel('FP32', ['N']),
  );
  write(
    'cached',
    `backend: "onnxruntime" max_batch_size: 64 response_cache { enable: true } ${CPU} ${tensors('16', 2)}`,
    addSubModel('FP32', ['N', 16]),
  );
  const batched = `backend: "onnxruntime" max_batch_size: 64 dynamic_batching { } ${CPU}`;
  write('step', `${batched} ${tensors('16', 1)}`, identityModel('FP32', ['N', 16]));
  write('join', `${batched} ${tensors('16', 2)}`, addSubModel('FP32', ['N', 16]));
  const step = (model: string, inputs: readonly string[], output: string): string =>
    `step { model_name: "${model}" model_version: -1 ${inputs.map((tensor, index) => `input_map { key: "INPUT${index}" value: "${tensor}" }`).join(' ')} output_map { key: "OUTPUT0" value: "${output}" } }`;
  const graph = (name: string, steps: readonly string[]): void => {
    mkdirSync(join(repository, name, '1'), { recursive: true });
    const config = `platform: "ensemble" max_batch_size: 64 ${tensors('16', 1)} ensemble_scheduling { ${steps.join('\n')} }`;
    writeFileSync(join(repository, name, 'config.pbtxt'), config);
  };
  graph('chain', [step('step', ['INPUT0'], 'a'), step('step', ['a'], 'b'), step('step', ['b'], 'OUTPUT0')]);
  graph('fork', [step('step', ['INPUT0'], 'a'), step('step', ['INPUT0'], 'b'), step('join', ['a', 'b'], 'OUTPUT0')]);
  mkdirSync(join(repository, 'identity', '1'), { recursive: true });
  writeFileSync(
    join(repository, 'identity', 'config.pbtxt'),
    `backend: "identity" max_batch_size: 0 ${tensors('[ -1 ]', 1)}`,
  );
  return repository;
}

interface TensorShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/** A request of FP32 tensors, binary both ways. */
export function httpTarget(port: number, model: string, tensors: readonly TensorShape[]): LoadTarget {
  const header = Buffer.from(
    JSON.stringify({
      inputs: tensors.map(({ name, shape }) => ({
        name,
        datatype: 'FP32',
        shape,
        parameters: { binary_data_size: bytesOf(shape) },
      })),
      parameters: { binary_data_output: true },
    }),
  );
  return {
    url: `http://127.0.0.1:${port}/v2/models/${model}/infer`,
    protocol: 'http',
    body: Buffer.concat([header, ...tensors.map(({ shape }) => values(shape))]),
    headers: { 'Inference-Header-Content-Length': String(header.length) },
  };
}

export function grpcTarget(port: number, model: string, tensors: readonly TensorShape[]): LoadTarget {
  const message = create(ModelInferRequestSchema, {
    modelName: model,
    inputs: tensors.map(({ name, shape }) => ({ name, datatype: 'FP32', shape: shape.map(BigInt) })),
    rawInputContents: tensors.map(({ shape }) => values(shape)),
  });
  return {
    url: `http://127.0.0.1:${port}/inference.GRPCInferenceService/ModelInfer`,
    protocol: 'grpc',
    body: grpcFrame(toBinary(ModelInferRequestSchema, message)),
    headers: { 'content-type': 'application/grpc', te: 'trailers' },
  };
}

export const STEP: readonly TensorShape[] = [{ name: 'INPUT0', shape: [1, 16] }];

export const SIMPLE: readonly TensorShape[] = [
  { name: 'INPUT0', shape: [1, 16] },
  { name: 'INPUT1', shape: [1, 16] },
];

function bytesOf(shape: readonly number[]): number {
  return shape.reduce((count, dim) => count * dim, 4);
}

function values(shape: readonly number[]): Buffer {
  const data = Float32Array.from({ length: bytesOf(shape) / 4 }, (_, index) => index % 7);
  return Buffer.from(data.buffer);
}
