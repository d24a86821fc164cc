import { closeSync, ftruncateSync, openSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { errorMessage } from '../core/index.ts';
import type { KserveClient } from '../client/index.ts';
import { ELEMENT_SIZE, elementCount, isDataType } from '../tensor/index.ts';
import type { DataSet, DataStep } from './input-data.ts';
import type { ModelInfo } from './model-info.ts';
import type { PerfOptions } from './options.ts';
import { PerfError } from './perf-error.ts';
import type { MemoryPlace, RequestMemory } from './request.ts';

/** Where POSIX shared memory lies on Linux. */
const FOLDER = '/dev/shm';

/** The inputs of all steps and the outputs in system shared memory, registered with the server. */
export class SharedTensors implements RequestMemory, AsyncDisposable {
  private readonly client: KserveClient;
  private readonly files: string[] = [];
  private readonly regions: string[] = [];
  private readonly inputs = new Map<DataStep, Map<string, MemoryPlace>>();
  private readonly outputs = new Map<string, MemoryPlace>();

  private constructor(client: KserveClient) {
    this.client = client;
  }

  /** @throws PerfError when there is no shared memory, or the server does not take it */
  static async create(
    client: KserveClient,
    model: ModelInfo,
    data: DataSet,
    { batchSize, outputMemoryBytes }: Pick<PerfOptions, 'batchSize' | 'outputMemoryBytes'>,
  ): Promise<SharedTensors> {
    const tensors = new SharedTensors(client);
    try {
      let number = 0;
      for (const step of data.streams.flat()) {
        const places = new Map<string, MemoryPlace>();
        for (const input of step.inputs) {
          // Every row of a batch has the same values here: one region holds them all.
          const bytes = Buffer.concat(Array.from({ length: model.maxBatchSize > 0 ? batchSize : 1 }, () => input.data));
          places.set(input.name, await tensors.region(`${input.name}_input_data_${number}`, bytes));
        }
        tensors.inputs.set(step, places);
        number++;
      }
      for (const output of model.outputs) {
        const dims = model.maxBatchSize > 0 ? output.shape.slice(1) : output.shape;
        const fixed = isDataType(output.datatype) && output.datatype !== 'BYTES' && dims.every((dim) => dim >= 0);
        const each =
          fixed && isDataType(output.datatype)
            ? (elementCount(dims) ?? 0) * ELEMENT_SIZE[output.datatype]
            : outputMemoryBytes;
        tensors.outputs.set(output.name, await tensors.region(`${output.name}_output`, each * batchSize));
      }
      return tensors;
    } catch (error) {
      await tensors[Symbol.asyncDispose]();
      throw new PerfError(`cannot use system shared memory: ${errorMessage(error)}`);
    }
  }

  input(step: DataStep, name: string): MemoryPlace {
    return this.inputs.get(step)?.get(name) ?? { region: '', byteSize: 0, offset: 0 };
  }

  output(name: string): MemoryPlace {
    return this.outputs.get(name) ?? { region: '', byteSize: 0, offset: 0 };
  }

  /** Makes a region of bytes, or of so many of them. */
  private async region(name: string, content: Buffer | number): Promise<MemoryPlace> {
    const key = `/goodput_perf_${process.pid}_${this.files.length}`;
    const file = `${FOLDER}${key}`;
    const byteSize = typeof content === 'number' ? content : content.length;
    if (typeof content === 'number') {
      const descriptor = openSync(file, 'w', 0o600);
      ftruncateSync(descriptor, byteSize);
      // The memory is taken now, and not in the middle of a measurement.
      writeSync(descriptor, Buffer.alloc(byteSize));
      closeSync(descriptor);
    } else writeFileSync(file, content, { mode: 0o600 });
    this.files.push(file);
    const region = `${name}_${process.pid}`;
    await this.client.registerSystemMemory(region, key, byteSize);
    this.regions.push(region);
    return { region, byteSize, offset: 0 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const region of this.regions) await this.client.unregisterSystemMemory(region).catch(() => undefined);
    for (const file of this.files) unlinkSync(file);
  }
}
