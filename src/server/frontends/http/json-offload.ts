import { Worker } from 'node:worker_threads';
import { errorMessage, type ErrorCode, internalError, ServerError, workerUrl } from '../../../core/index.ts';
import type { HttpInferRequest, InferenceResponse } from '../../../protocol/index.ts';

export type JsonTask =
  | {
      readonly kind: 'parse';
      readonly modelName: string;
      readonly modelVersion: string;
      readonly body: Uint8Array;
      readonly headerLength: number | undefined;
    }
  | {
      readonly kind: 'encode';
      readonly response: InferenceResponse;
      readonly binaryOutputs: readonly string[];
      readonly sharedMemory: readonly string[];
    };

export type JsonAnswer =
  | { readonly kind: 'parsed'; readonly value: HttpInferRequest }
  | { readonly kind: 'encoded'; readonly text: Uint8Array; readonly binary: readonly Uint8Array[] }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string };

type Waiter = (answer: JsonAnswer) => void;

/** JSON from this size on is handled by the worker thread; below, moving it would cost more than it spares. */
export const OFFLOAD_BYTES = 512 * 1024;

/** The worker thread for long JSON: started when it is first needed; answers come in the order of the tasks. */
export class JsonOffload {
  private worker: Worker | undefined;
  private waiters: Waiter[] = [];

  /** As `parseInferRequest`. */
  async parse(task: Omit<Extract<JsonTask, { kind: 'parse' }>, 'kind'>): Promise<HttpInferRequest> {
    const answer = await this.perform({ kind: 'parse', ...task });
    if (answer.kind !== 'parsed') throw unexpected(answer);
    return answer.value;
  }

  /** As `encodeInferResponse`: the JSON text, and the binary parts as they were given. */
  async encode(
    response: InferenceResponse,
    binaryOutputs: readonly string[],
    sharedMemory: readonly string[],
  ): Promise<{ readonly text: Uint8Array; readonly binary: readonly Uint8Array[] }> {
    // A function cannot cross to a thread.
    const { hold: _hold, ...plain } = response;
    const answer = await this.perform({ kind: 'encode', response: plain, binaryOutputs, sharedMemory });
    if (answer.kind !== 'encoded') throw unexpected(answer);
    return answer;
  }

  private perform(task: JsonTask): Promise<JsonAnswer> {
    const worker = this.start();
    return new Promise((resolve, reject) => {
      this.waiters.push((answer) => {
        if (answer.kind === 'failed') reject(new ServerError(answer.code, answer.message));
        else resolve(answer);
      });
      worker.postMessage(task);
    });
  }

  private start(): Worker {
    if (this.worker) return this.worker;
    const worker = new Worker(workerUrl(import.meta.url, 'json-worker'), { name: 'goodput-json' });
    worker.on('message', (answer: JsonAnswer) => this.waiters.shift()?.(answer));
    worker.on('error', (error) => this.fail(errorMessage(error)));
    worker.unref();
    this.worker = worker;
    return worker;
  }

  /** Fails what was asked; the next task starts a new thread. */
  private fail(message: string): void {
    this.worker = undefined;
    const waiters = this.waiters;
    this.waiters = [];
    for (const waiter of waiters)
      waiter({ kind: 'failed', code: 'INTERNAL', message: `JSON thread failed: ${message}` });
  }
}

function unexpected(answer: JsonAnswer): Error {
  return internalError(`unexpected answer '${answer.kind}' from the JSON thread`);
}
