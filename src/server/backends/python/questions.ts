import { errorMessage, internalError, type Logger, ServerError, toServerError } from '../../../core/index.ts';
import type { CorrelationId, InferenceOutcome, InferenceRequest } from '../../../protocol/index.ts';
import type { ServerAccess } from '../contract.ts';
import type { Asked, WireResult } from './messages.ts';
import type { PythonProcess } from './process.ts';
import { InlineBytes, tensorsFromWire, tensorsToWire } from './tensor-wire.ts';

const SEQUENCE_START = 1;
const SEQUENCE_END = 2;

type InferQuestion = Extract<Asked, { readonly k: 'infer' }>;
type MetricQuestion = Extract<Asked, { readonly k: 'metric' }>;

/** Answers what a model asks the server; one for each process. */
export class Questions {
  private readonly process: PythonProcess;
  private readonly server: ServerAccess;
  private readonly logger: Logger;
  /** Cancels the inferences that are under way. */
  private readonly running = new Map<number, () => void>();

  constructor(process: PythonProcess, server: ServerAccess, logger: Logger) {
    this.process = process;
    this.server = server;
    this.logger = logger;
  }

  ask(question: Asked, payload: Buffer): void {
    if (question.k === 'infer') {
      this.infer(question, payload);
      return;
    }
    const answer = (value: unknown): void => this.process.send({ k: 'answer', q: question.q, v: value ?? null });
    const refuse = (error: unknown): void => {
      const { code, message } = toServerError(error);
      this.process.send({ k: 'answer', q: question.q, e: [code, message] });
    };
    try {
      const value = this.value(question);
      if (value instanceof Promise) value.then(answer, refuse);
      else answer(value);
    } catch (error) {
      refuse(error);
    }
  }

  /** The model wants no further response to one of its requests. */
  stop(question: number): void {
    this.running.get(question)?.();
  }

  /** The process is gone: nobody waits for the answers. */
  close(): void {
    for (const cancel of this.running.values()) cancel();
    this.running.clear();
  }

  private value(question: Exclude<Asked, InferQuestion>): unknown {
    const { metrics } = this.server;
    switch (question.k) {
      case 'cancelled':
        return this.process.isCancelled(question.u);
      case 'load':
        return this.server.load(question.m, loadOverride(question));
      case 'unload':
        return this.server.unload(question.m, question.d);
      case 'ready':
        return this.server.isModelReady(question.m, question.v);
      case 'family':
        return metrics.family(question.n, question.h, question.t);
      case 'metric':
        return this.metric(question);
      default:
        return question satisfies never;
    }
  }

  private metric({ n: name, l: labels, b: buckets, o: operation, v: value }: MetricQuestion): number | undefined {
    const { metrics } = this.server;
    switch (operation) {
      case 'new':
        metrics.metric(name, labels, buckets ?? undefined);
        return undefined;
      case 'increment':
        metrics.increment(name, labels, value);
        return undefined;
      case 'set':
        metrics.set(name, labels, value);
        return undefined;
      case 'observe':
        metrics.observe(name, labels, value);
        return undefined;
      case 'value':
        return metrics.value(name, labels);
      default:
        return operation satisfies never;
    }
  }

  private infer(question: InferQuestion, payload: Buffer): void {
    const { q: number, m: model, v: version, d: decoupled } = question;
    const fail = (error: ServerError): void => this.respond(number, ['e', error.code, error.message], true);
    let over = false;
    try {
      const read: number[] = [];
      const request = requestOf(question, tensorsFromWire(question.x, payload, this.process.outputs, read));
      this.process.hasRead(read);
      if (!decoupled && this.server.isDecoupled(model, request.modelVersion)) {
        throw internalError(
          `Model ${model} is using the decoupled. The current BLS request call doesn't support models using the decoupled transaction policy. Please use 'decoupled=True' argument to the 'exec' or 'async_exec' calls for decoupled models.'`,
        );
      }
      const cancel = this.server.infer(request, (outcome) => {
        if (over) return;
        over = this.take(number, outcome);
        if (over) this.running.delete(number);
      });
      if (!over) this.running.set(number, cancel);
    } catch (error) {
      this.logger.verbose(1, `request to model '${model}' version ${version} failed: ${errorMessage(error)}`);
      const { code, message } = toServerError(error);
      const reason =
        code === 'NOT_FOUND' ? `Failed for execute the inference request. Model '${model}' is not ready.` : message;
      fail(new ServerError('INTERNAL', `Model ${model} - Error when running inference: ${reason}`));
    }
  }

  /** @returns whether nothing more comes */
  private take(number: number, outcome: InferenceOutcome): boolean {
    switch (outcome.kind) {
      case 'empty-final':
        this.respond(number, null, true);
        return true;
      case 'error':
        this.respond(number, ['e', outcome.error.code, outcome.error.message], outcome.final);
        return outcome.final;
      case 'response': {
        const inline = new InlineBytes();
        const { outputs, parameters } = outcome.response;
        const tensors = tensorsToWire(outputs, this.process.inputs, inline);
        this.respond(number, ['r', tensors, parameters], outcome.final, inline.parts);
        return outcome.final;
      }
      default:
        return outcome satisfies never;
    }
  }

  private respond(number: number, result: WireResult | null, final: boolean, parts?: readonly Uint8Array[]): void {
    this.process.send({ k: 'answer', q: number, w: result, l: final }, parts);
  }
}

function loadOverride({
  files,
  config,
}: Extract<Asked, { readonly k: 'load' }>): { config?: string; files?: ReadonlyMap<string, Uint8Array> } | undefined {
  const contents = new Map(
    Object.entries(files).map(([path, text]) => [path.replace(/^file:/, ''), Buffer.from(text, 'base64')] as const),
  );
  if (config === '' && contents.size === 0) return undefined;
  return { ...(config === '' ? {} : { config }), ...(contents.size === 0 ? {} : { files: contents }) };
}

function requestOf(question: InferQuestion, inputs: InferenceRequest['inputs']): InferenceRequest {
  const [isText, text] = question.c;
  const id: CorrelationId = isText ? text : BigInt(text);
  const sequence = id === 0n || id === '' ? undefined : id;
  return {
    modelName: question.m,
    modelVersion: question.v < 0 ? '' : String(question.v),
    id: question.i,
    inputs,
    outputs: question.o.map((name) => ({ name, classification: 0, binary: true })),
    parameters: question.p,
    ...(sequence === undefined
      ? {}
      : {
          sequence: {
            id: sequence,
            start: (question.g & SEQUENCE_START) !== 0,
            end: (question.g & SEQUENCE_END) !== 0,
          },
        }),
    priority: 0,
    timeoutMicros: question.t,
  };
}
