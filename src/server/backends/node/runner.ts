import { errorMessage, ServerError, toServerError } from '../../../core/index.ts';
import type { InferenceRequest } from '../../../protocol/index.ts';
import type { Tensor } from '../../../tensor/index.ts';
import type { FromWorker, PlainError, RunnerOptions, RunnerRequest, RunnerResult, ToWorker } from './messages.ts';
import {
  type CallOutputs,
  type ModelCall,
  type ModelContext,
  type ModelDefinition,
  ModelError,
  type ModelOutput,
  type ModelRequest,
} from './model-api.ts';
import { Questions } from './call-queue.ts';
import { describe, loadDefinition } from './load-definition.ts';
import { modelMetrics } from './model-metrics.ts';
import { modelTensor, outputTensor } from './values.ts';

/** Runs a model, in a worker thread or on the main thread, and talks to its instance. */
export class Runner {
  private readonly options: RunnerOptions;
  private readonly send: (message: FromWorker) => void;
  private readonly questions: Questions;
  private definition: ModelDefinition | undefined;
  private context: ModelContext | undefined;
  private types = new Map<string, Tensor['datatype']>();
  private allOutputs: readonly string[] = [];
  /** Requests that are not over. */
  private readonly incoming = new Map<number, Incoming>();
  private streaming = 0;
  private streamEnded: (() => void) | undefined;

  constructor(options: RunnerOptions, send: (message: FromWorker) => void) {
    this.options = options;
    this.send = send;
    this.questions = new Questions(send);
  }

  /** Imports the model; `described` or `failed` comes of it. */
  async open(): Promise<void> {
    await this.answering(async () => {
      this.definition = await loadDefinition(this.options);
      const description = describe(this.definition, this.options.file);
      this.types = new Map(description.outputs.map(({ name, datatype }) => [name, datatype]));
      this.allOutputs = [...this.types.keys()];
      this.send({ kind: 'described', description });
    });
  }

  receive(message: ToWorker): void {
    switch (message.kind) {
      case 'execute':
        this.execute(message.requests);
        return;
      case 'cancel':
        this.incoming.get(message.number)?.abort();
        return;
      case 'answer':
        this.questions.answer(message.question, message.result, message.last);
        return;
      case 'load':
        void this.answering(() => this.load());
        return;
      case 'end':
        void this.answering(() => this.end());
        return;
      default:
        message satisfies never;
    }
  }

  private async answering(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      const text = error instanceof ServerError ? error.message : traceOf(error);
      this.send({ kind: 'failed', error: text });
    }
  }

  private async load(): Promise<void> {
    const { name, version, directory, parameters } = this.options;
    const log = (level: 'info' | 'warn' | 'error') => (text: string) => this.send({ kind: 'log', level, text });
    const base = {
      name,
      version,
      directory,
      parameters,
      metrics: modelMetrics(this.send),
      log: { info: log('info'), warn: log('warn'), error: log('error') },
    };
    const state = await this.definition?.load?.(base);
    this.context = {
      ...base,
      state,
      infer: (call) => this.infer(call),
      inferStream: (call) => this.questions.many(callRequest(call), modelTensors),
    };
    this.send({ kind: 'loaded' });
  }

  private async end(): Promise<void> {
    if (this.context) await this.definition?.unload?.(this.context.state);
    this.send({ kind: 'ended' });
  }

  private async infer(call: ModelCall): Promise<CallOutputs> {
    return modelTensors(await this.questions.one(callRequest(call)));
  }

  private execute(received: readonly RunnerRequest[]): void {
    const { definition, context } = this;
    if (!definition || !context) return;
    const start = performance.now();
    const requests = received.map((request) => new Incoming(request, this.allOutputs, this.incoming));
    const results = this.results(definition, context, requests);
    const send = (done: readonly (RunnerResult | null)[]): void => {
      if (definition.stream === undefined) for (const { number } of received) this.incoming.delete(number);
      this.send({ kind: 'executed', results: done, inferNs: (performance.now() - start) * 1e6 });
    };
    // What answers at once needs no further turn of the event loop.
    if (results instanceof Promise) void results.then(send);
    else send(results);
  }

  private results(
    definition: ModelDefinition,
    context: ModelContext,
    requests: readonly Incoming[],
  ): readonly (RunnerResult | null)[] | Promise<readonly (RunnerResult | null)[]> {
    if (definition.stream) return this.streams(definition, context, requests);
    if (definition.runBatch) return this.batch(definition, context, requests);
    const results: RunnerResult[] = [];
    const waiting: Promise<void>[] = [];
    requests.forEach((request, index) => {
      try {
        const answer = definition.run?.(request, context);
        if (!(answer instanceof Promise)) {
          results[index] = this.result(answer, request.outputs);
          return;
        }
        const settled = answer.then((outputs) => this.result(outputs, request.outputs), failure);
        waiting.push(settled.then((result) => void (results[index] = result)));
      } catch (error) {
        results[index] = failure(error);
      }
    });
    return waiting.length === 0 ? results : Promise.all(waiting).then(() => results);
  }

  private async batch(
    definition: ModelDefinition,
    context: ModelContext,
    requests: readonly Incoming[],
  ): Promise<readonly RunnerResult[]> {
    try {
      const answers = (await definition.runBatch?.(requests, context)) ?? [];
      if (answers.length !== requests.length) {
        throw new Error(`runBatch answered ${answers.length} of ${requests.length} requests`);
      }
      return answers.map((answer, index) => this.result(answer, requests[index]?.outputs ?? []));
    } catch (error) {
      return requests.map(() => failure(error));
    }
  }

  /** Starts to answer; resolves when there is room for the next requests. */
  private async streams(
    definition: ModelDefinition,
    context: ModelContext,
    requests: readonly Incoming[],
  ): Promise<readonly null[]> {
    for (const request of requests) void this.stream(definition.stream?.(request, context), request);
    const { concurrency = 1 } = definition;
    while (this.streaming >= concurrency) await new Promise<void>((resolve) => (this.streamEnded = resolve));
    return requests.map(() => null);
  }

  private async stream(answers: AsyncIterable<unknown> | undefined, request: Incoming): Promise<void> {
    this.streaming++;
    const { number, outputs, signal } = request;
    try {
      for await (const answer of answers ?? []) {
        if (signal.aborted) break;
        this.send({ kind: 'response', number, result: this.result(answer, outputs), last: false });
      }
      this.send({ kind: 'response', number, result: null, last: true });
    } catch (error) {
      this.send({ kind: 'response', number, result: failure(error), last: true });
    }
    this.incoming.delete(number);
    this.streaming--;
    this.streamEnded?.();
  }

  private result(answer: unknown, wanted: readonly string[]): RunnerResult {
    if (answer instanceof Error) return failure(answer);
    try {
      const outputs: Tensor[] = [];
      const named = (answer ?? {}) as Readonly<Record<string, ModelOutput>>;
      for (const name in named) {
        const output = named[name];
        const datatype = this.types.get(name);
        if (datatype === undefined) {
          throw new Error(`the model has no output '${name}', it has: ${this.allOutputs.join(', ')}`);
        }
        if (output !== undefined && wanted.includes(name)) outputs.push(outputTensor(name, datatype, output));
      }
      return { kind: 'response', outputs };
    } catch (error) {
      return failure(error);
    }
  }
}

function modelTensors(tensors: readonly Tensor[]): CallOutputs {
  const named: Record<string, CallOutputs[string]> = {};
  for (const tensor of tensors) named[tensor.name] = modelTensor(tensor);
  return named;
}

/** A request as the model sees it. */
class Incoming implements ModelRequest {
  readonly number: number;
  readonly id: string;
  readonly inputs: ModelRequest['inputs'];
  readonly parameters: ModelRequest['parameters'];
  readonly sequence: ModelRequest['sequence'];
  readonly outputs: readonly string[];
  private aborted = false;
  private controller: AbortController | undefined;

  constructor(request: RunnerRequest, allOutputs: readonly string[], incoming: Map<number, Incoming>) {
    this.number = request.number;
    this.id = request.id;
    this.inputs = modelTensors(request.inputs);
    this.parameters = request.parameters;
    this.sequence = request.sequence;
    this.outputs = request.outputs.length > 0 ? request.outputs : allOutputs;
    incoming.set(request.number, this);
  }

  /** Made when the model asks for it, which most do not. */
  get signal(): AbortSignal {
    this.controller ??= new AbortController();
    if (this.aborted) this.controller.abort();
    return this.controller.signal;
  }

  abort(): void {
    this.aborted = true;
    this.controller?.abort();
  }
}

function callRequest(call: ModelCall): InferenceRequest {
  return {
    modelName: call.model,
    modelVersion: call.version === undefined ? '' : String(call.version),
    id: call.id ?? '',
    inputs: Object.entries(call.inputs).map(([name, tensor]) => outputTensor(name, tensor.datatype, tensor)),
    outputs: (call.outputs ?? []).map((name) => ({ name, classification: 0, binary: true })),
    parameters: call.parameters ?? {},
    priority: 0,
    timeoutMicros: 0,
  };
}

function failure(error: unknown): RunnerResult {
  return { kind: 'error', error: plainError(error) };
}

function plainError(error: unknown): PlainError {
  // Models may have got the class from another copy of this module.
  if (error instanceof ModelError || (error instanceof Error && error.name === 'ModelError')) {
    return { code: (error as ModelError).code, message: error.message };
  }
  const { code, message } = toServerError(error);
  return { code, message };
}

function traceOf(error: unknown): string {
  return error instanceof Error && error.stack !== undefined ? error.stack : errorMessage(error);
}
