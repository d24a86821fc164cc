import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { internalError, invalidArgument, notFound, ServerError } from '../../core/index.ts';
import type { InferenceRequest, InputTensor, SharedMemoryReference } from '../../protocol/index.ts';
import type { Tensor } from '../../tensor/index.ts';

/** A registered region of POSIX shared memory, as the status extension shows it. */
export interface SystemRegion {
  readonly name: string;
  /** The key that the client gave to `shm_open`. */
  readonly key: string;
  readonly offset: number;
  readonly byteSize: number;
}

interface OpenRegion extends SystemRegion {
  readonly file: number;
}

const FOLDER = '/dev/shm';

/**
 * System shared memory
 * (https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_shared_memory.md).
 * Regions are files: tensors are read from and written to them by offset, one copy each way.
 */
export class SharedMemoryRegions {
  private readonly regions = new Map<string, OpenRegion>();

  /** @throws ALREADY_EXISTS, INVALID_ARG or INTERNAL */
  register(region: SystemRegion): void {
    if (this.regions.has(region.name)) {
      throw new ServerError('ALREADY_EXISTS', `shared memory region '${region.name}' already in manager`);
    }
    const file = openRegion(region.key);
    const size = fstatSync(file).size;
    if (region.offset + region.byteSize > size) {
      closeSync(file);
      throw invalidArgument(
        `failed to register shared memory region '${region.name}': offset ${region.offset} and byte size ${region.byteSize} exceed the size of '${region.key}', ${size} bytes`,
      );
    }
    this.regions.set(region.name, { ...region, file });
  }

  /** Unknown names are no error, as in Triton. */
  unregister(name: string): void {
    const region = this.regions.get(name);
    if (!region) return;
    this.regions.delete(name);
    closeSync(region.file);
  }

  unregisterAll(): void {
    for (const name of this.regions.keys()) this.unregister(name);
  }

  /** @throws NOT_FOUND for a name that is not registered */
  status(name: string): readonly SystemRegion[] {
    if (name === '') return [...this.regions.values()];
    const region = this.regions.get(name);
    if (!region) throw notFound(`Unable to find system shared memory region: '${name}'`);
    return [region];
  }

  /** The request with the bytes of its shared-memory inputs in place. */
  resolveInputs(request: InferenceRequest): InferenceRequest {
    if (!request.inputs.some((input) => input.sharedMemory)) return request;
    return { ...request, inputs: request.inputs.map((input) => this.resolve(input)) };
  }

  private resolve(input: InputTensor): InputTensor {
    const reference = input.sharedMemory;
    if (!reference) return input;
    const region = this.range(reference);
    const data = Buffer.allocUnsafe(reference.byteSize);
    const read = readSync(region.file, data, 0, data.length, region.offset + reference.offset);
    if (read !== data.length) {
      throw internalError(
        `shared memory region '${reference.region}' has shrunk: read ${read} of ${data.length} bytes`,
      );
    }
    return { name: input.name, datatype: input.datatype, shape: input.shape, data };
  }

  /** Checks that an output can be written before anything runs. */
  checkOutput(reference: SharedMemoryReference): void {
    this.range(reference);
  }

  /** @throws INVALID_ARG when the tensor is larger than the space given for it */
  write(output: Tensor, reference: SharedMemoryReference): void {
    const region = this.range(reference);
    if (output.data.length > reference.byteSize) {
      throw internalError(
        `shared memory size specified with the request for output '${output.name}' (${reference.byteSize} bytes) should be at least ${output.data.length} bytes to hold the results`,
      );
    }
    writeSync(region.file, output.data, 0, output.data.length, region.offset + reference.offset);
  }

  private range(reference: SharedMemoryReference): OpenRegion {
    const region = this.regions.get(reference.region);
    if (!region) throw notFound(`Unable to find shared memory region: '${reference.region}'`);
    const end = reference.offset + reference.byteSize;
    if (!Number.isSafeInteger(end) || reference.offset < 0 || reference.offset > region.byteSize) {
      throw invalidArgument(`Invalid offset for shared memory region: '${reference.region}'`);
    }
    if (end > region.byteSize) {
      throw invalidArgument(
        `Invalid offset + byte size for shared memory region: '${reference.region}': ${reference.offset} + ${reference.byteSize} > ${region.byteSize}`,
      );
    }
    return region;
  }
}

/** The answer to a CUDA region: there is no device memory to share without a GPU. */
export function cudaMemoryRefusal(name: string): ServerError {
  return invalidArgument(`failed to register CUDA shared memory region '${name}': this server has no GPU`);
}

/** Opens the file of a `shm_open` key; keys cannot name anything outside of the shared-memory folder. */
function openRegion(key: string): number {
  const name = key.replace(/^\/+/, '');
  if (name === '' || /[/\0]/.test(name) || name === '.' || name === '..') {
    throw invalidArgument(`invalid shared memory key '${key}'`);
  }
  try {
    return openSync(`${FOLDER}/${name}`, 'r+');
  } catch (error) {
    throw new ServerError('INTERNAL', `Unable to open shared memory region: '${key}'`, { cause: error });
  }
}
