import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { grpcFrame, type ModelConfig } from '../protocol/index.ts';
import * as pb from '../protocol/generated/grpc_service_pb.js';
import { ClientError } from './client-error.ts';
import type { Endpoint } from './endpoint.ts';
import { GrpcAnswer, grpcHeaders } from './grpc-call.ts';
import type { ExtraHeaders } from './http-client.ts';
import { Http2ClientConnection } from './http2-connection.ts';
import {
  type Duration,
  type KserveClient,
  type ModelMetadata,
  type ModelStatistics,
  type TensorMetadata,
} from './kserve-client.ts';

export const SERVICE = '/inference.GRPCInferenceService/';

/** KServe v2 over gRPC. */
export class KserveGrpcClient implements KserveClient {
  private readonly endpoint: Endpoint;
  private readonly metadata: ExtraHeaders;
  private connection: Promise<Http2ClientConnection> | undefined;

  constructor(endpoint: Endpoint, metadata: ExtraHeaders = []) {
    this.endpoint = endpoint;
    this.metadata = metadata;
  }

  async serverReady(): Promise<boolean> {
    return (await this.call('ServerReady', pb.ServerReadyRequestSchema, pb.ServerReadyResponseSchema, {})).ready;
  }

  async modelMetadata(name: string, version: string): Promise<ModelMetadata> {
    const request = { name, version };
    const answer = await this.call(
      'ModelMetadata',
      pb.ModelMetadataRequestSchema,
      pb.ModelMetadataResponseSchema,
      request,
    );
    const tensors = (list: readonly { name: string; datatype: string; shape: bigint[] }[]): TensorMetadata[] =>
      list.map((each) => ({ name: each.name, datatype: each.datatype, shape: each.shape.map(Number) }));
    return { ...answer, inputs: tensors(answer.inputs), outputs: tensors(answer.outputs) };
  }

  async modelConfig(name: string, version: string): Promise<ModelConfig> {
    const { config } = await this.call('ModelConfig', pb.ModelConfigRequestSchema, pb.ModelConfigResponseSchema, {
      name,
      version,
    });
    if (!config) throw new ClientError('protocol', `the server sent no configuration of model '${name}'`);
    return config;
  }

  async statistics(name: string, version: string): Promise<readonly ModelStatistics[]> {
    const request = { name, version };
    const { modelStats } = await this.call(
      'ModelStatistics',
      pb.ModelStatisticsRequestSchema,
      pb.ModelStatisticsResponseSchema,
      request,
    );
    return modelStats.map((each) => ({
      name: each.name,
      version: each.version,
      inferenceCount: Number(each.inferenceCount),
      executionCount: Number(each.executionCount),
      durations: readDurations(each.inferenceStats),
    }));
  }

  async registerSystemMemory(name: string, key: string, byteSize: number): Promise<void> {
    await this.call(
      'SystemSharedMemoryRegister',
      pb.SystemSharedMemoryRegisterRequestSchema,
      pb.SystemSharedMemoryRegisterResponseSchema,
      { name, key, byteSize: BigInt(byteSize) },
    );
  }

  async unregisterSystemMemory(name: string): Promise<void> {
    await this.call(
      'SystemSharedMemoryUnregister',
      pb.SystemSharedMemoryUnregisterRequestSchema,
      pb.SystemSharedMemoryUnregisterResponseSchema,
      { name },
    );
  }

  async traceSettings(modelName: string, settings: Readonly<Record<string, readonly string[]>>): Promise<void> {
    await this.call('TraceSetting', pb.TraceSettingRequestSchema, pb.TraceSettingResponseSchema, {
      modelName,
      settings: Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, { value: [...value] }])),
    });
  }

  close(): void {
    void this.connection?.then(
      (connection) => connection.close(),
      () => undefined,
    );
  }

  private async call<In extends DescMessage, Out extends DescMessage>(
    method: string,
    input: In,
    output: Out,
    request: MessageInitShape<In>,
  ): Promise<MessageShape<Out>> {
    this.connection ??= Http2ClientConnection.connect(this.endpoint);
    let connection = await this.connection.catch((error: unknown) => {
      this.connection = undefined;
      throw error;
    });
    if (connection.closed) {
      this.connection = Http2ClientConnection.connect(this.endpoint);
      connection = await this.connection;
    }
    const frame = grpcFrame(toBinary(input, create(input, request)));
    return new Promise((resolve, reject) => {
      let answer: MessageShape<Out> | undefined;
      const events = new GrpcAnswer({
        message: (message) => (answer = fromBinary(output, message)),
        done: () =>
          answer ? resolve(answer) : reject(new ClientError('protocol', `the server's answer to ${method} is empty`)),
        failed: reject,
      });
      connection.open(grpcHeaders(SERVICE + method, this.endpoint, this.metadata), frame, true, events);
    });
  }
}

function readDurations(stats: pb.InferStatistics | undefined): ModelStatistics['durations'] {
  const read = (field: pb.StatisticDuration | undefined): Duration => ({
    count: Number(field?.count ?? 0),
    ns: Number(field?.ns ?? 0),
  });
  return {
    success: read(stats?.success),
    fail: read(stats?.fail),
    queue: read(stats?.queue),
    compute_input: read(stats?.computeInput),
    compute_infer: read(stats?.computeInfer),
    compute_output: read(stats?.computeOutput),
    cache_hit: read(stats?.cacheHit),
    cache_miss: read(stats?.cacheMiss),
  };
}
