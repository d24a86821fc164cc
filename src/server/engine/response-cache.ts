import { errorMessage, type Logger } from '../../core/index.ts';
import { DATA_TYPES, type DataType, type Tensor } from '../../tensor/index.ts';

/**
 * Answers by the hash of model and inputs
 * (https://github.com/triton-inference-server/server/blob/main/docs/user_guide/response_cache.md).
 */
export interface ResponseCache {
  /** The outputs of an earlier answer. They belong to the cache: readers do not write to them. */
  lookup(key: string): readonly Tensor[] | undefined | Promise<readonly Tensor[] | undefined>;
  /** Keeps copies. An answer that does not fit is not kept. */
  insert(key: string, outputs: readonly Tensor[]): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What an entry takes besides its tensors' bytes: key, names, shapes. */
const ENTRY_OVERHEAD = 256;

/** `--cache-config=local,size=BYTES`: in the server's own memory, the least recently used entries go first. */
export class LocalCache implements ResponseCache {
  private readonly limit: number;
  private readonly entries = new Map<string, { readonly outputs: readonly Tensor[]; readonly bytes: number }>();
  private bytes = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Bytes in use. */
  get size(): number {
    return this.bytes;
  }

  lookup(key: string): readonly Tensor[] | undefined {
    const entry = this.entries.get(key);
    if (!entry) return undefined;
    this.entries.delete(key);
    this.entries.set(key, entry);
    return entry.outputs;
  }

  insert(key: string, outputs: readonly Tensor[]): void {
    if (this.entries.has(key)) return;
    const bytes = outputs.reduce((sum, output) => sum + output.data.length, ENTRY_OVERHEAD);
    if (bytes > this.limit) return;
    for (const [oldest, entry] of this.entries) {
      if (this.bytes + bytes <= this.limit) break;
      this.entries.delete(oldest);
      this.bytes -= entry.bytes;
    }
    const copies = outputs.map((output) => ({ ...output, data: Uint8Array.from(output.data) }));
    this.entries.set(key, { outputs: copies, bytes });
    this.bytes += bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.entries.clear();
    this.bytes = 0;
  }
}

/** The few commands of a key-value store that a cache needs. */
export interface KeyValueStore {
  get(key: string): Promise<Buffer | undefined>;
  set(key: string, value: Buffer): Promise<void>;
  close(): Promise<void>;
}

/** A cache in a store that several servers share. Its failures cost hits, never answers. */
export class StoreCache implements ResponseCache {
  private readonly store: KeyValueStore;
  private readonly logger: Logger;
  private failing = false;

  constructor(store: KeyValueStore, logger: Logger) {
    this.store = store;
    this.logger = logger;
  }

  async lookup(key: string): Promise<readonly Tensor[] | undefined> {
    try {
      const value = await this.store.get(key);
      this.failing = false;
      return value && decodeTensors(value);
    } catch (error) {
      this.complain('look up', error);
      return undefined;
    }
  }

  insert(key: string, outputs: readonly Tensor[]): void {
    // The bytes may be views on a buffer that is used again: they are copied before this returns.
    this.store.set(key, encodeTensors(outputs)).catch((error: unknown) => this.complain('insert', error));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.store.close();
  }

  /** Once per outage, not once per request. */
  private complain(what: string, error: unknown): void {
    if (!this.failing) this.logger.warn(`response cache: failed to ${what}: ${errorMessage(error)}`);
    this.failing = true;
  }
}

interface TensorHeader {
  readonly name: string;
  readonly datatype: DataType;
  readonly shape: readonly number[];
  readonly bytes: number;
}

/** Length of the JSON description, the description, the bytes of all tensors. */
function encodeTensors(tensors: readonly Tensor[]): Buffer {
  const headers: TensorHeader[] = tensors.map(({ name, datatype, shape, data }) => ({
    name,
    datatype,
    shape,
    bytes: data.length,
  }));
  const json = Buffer.from(JSON.stringify(headers));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  return Buffer.concat([length, json, ...tensors.map((tensor) => tensor.data)]);
}

function decodeTensors(value: Buffer): readonly Tensor[] | undefined {
  const jsonEnd = 4 + value.readUInt32LE(0);
  const headers: unknown = JSON.parse(value.toString('utf8', 4, jsonEnd));
  if (!Array.isArray(headers)) return undefined;
  let offset = jsonEnd;
  const tensors: Tensor[] = [];
  for (const { name, datatype, shape, bytes } of headers as TensorHeader[]) {
    if (!DATA_TYPES.includes(datatype) || offset + bytes > value.length) return undefined;
    tensors.push({ name, datatype, shape, data: value.subarray(offset, offset + bytes) });
    offset += bytes;
  }
  return tensors;
}
