import { type ChildProcess, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { internalError, type Logger } from '../../../core/index.ts';
import type { ServerAccess } from '../contract.ts';
import { AwaitedAnswer } from '../awaited-answer.ts';
import type { Worker } from '../supervised-instance.ts';
import { encodeFrame, FrameReader } from './frames.ts';
import { type ExecutionMessage, type FromProcess, isQuestion } from './messages.ts';
import { Questions } from './questions.ts';
import { ReadRegion, WrittenRegion } from './shared-region.ts';

/** The folder with the Python side, in a clone and in the published package alike. */
const WORKER_FOLDER = fileURLToPath(new URL('../../../../python', import.meta.url));

/** How to start the process of an instance. */
export interface ProcessOptions {
  /** The interpreter. */
  readonly python: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly model: string;
  readonly logger: Logger;
  readonly server: ServerAccess;
  /** How long starting, loading and finalizing may take each, in milliseconds. */
  readonly timeoutMs: number;
}

const LAST_WORDS_MS = 500;

/** A Python process with one model, and the way to talk to it. */
export class PythonProcess implements Worker {
  readonly inputs: WrittenRegion;
  readonly outputs: ReadRegion;
  private readonly options: ProcessOptions;
  private readonly child: ChildProcess;
  private readonly socket: Socket;
  /** To `load`, `init` or `end`. */
  private readonly answer: AwaitedAnswer<unknown>;
  /** Pieces of the outputs' memory that were read since the last message. */
  private readonly read: number[] = [];
  private readonly questions: Questions;
  private ended = false;
  /** Gets what comes of executions. */
  onMessage: (message: ExecutionMessage, payload: Buffer) => void = () => undefined;
  /** Whether the client of a request has gone. */
  isCancelled: (unit: number) => boolean = () => false;
  onExit: (reason: string) => void = () => undefined;

  private constructor(options: ProcessOptions) {
    this.options = options;
    this.answer = new AwaitedAnswer(options.timeoutMs);
    this.inputs = new WrittenRegion(options.logger);
    this.outputs = new ReadRegion(options.logger);
    const path = [WORKER_FOLDER, options.env['PYTHONPATH'] ?? process.env['PYTHONPATH']].filter(Boolean).join(':');
    this.child = spawn(options.python, ['-u', '-m', 'goodput_worker', '3', this.inputs.path, this.outputs.path], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env, PYTHONPATH: path },
    });
    const socket = this.child.stdio[3];
    if (!(socket instanceof Socket)) throw internalError('the process of a Python model has no socket');
    this.socket = socket;
    this.questions = new Questions(this, options.server, options.logger);
    const reader = new FrameReader((meta, payload) => this.received(meta as FromProcess, payload));
    socket.on('data', (chunk: Buffer) => reader.push(chunk));
    // A process that dies is told by its exit.
    socket.on('error', () => undefined);
    this.forward(this.child.stdout, 'info');
    this.forward(this.child.stderr, 'warn');
    this.child.once('error', (error) => this.exited(`cannot start ${options.python}: ${error.message}`));
    this.child.once('exit', (code, signal) => {
      const reason = signal === null ? `it ended with exit code ${code}` : `it was ended by ${signal}`;
      // What it said last may still be on its way.
      const timer = setTimeout(() => this.exited(reason), LAST_WORDS_MS);
      socket.once('close', () => {
        clearTimeout(timer);
        this.exited(reason);
      });
    });
  }

  /** @throws INTERNAL with the reason why the interpreter cannot run models */
  static async start(options: ProcessOptions): Promise<PythonProcess> {
    const started = new PythonProcess(options);
    try {
      await started.answer.wait('start');
    } catch (error) {
      await started.kill();
      throw error;
    } finally {
      started.inputs.unlink();
      started.outputs.unlink();
    }
    return started;
  }

  /**
   * Asks for a step of the model's life, one at a time.
   * @throws INTERNAL with the model's error, or when the process dies or takes too long
   */
  async ask(meta: { readonly k: 'load' | 'init' | 'end' } & Readonly<Record<string, unknown>>): Promise<unknown> {
    const answer = this.answer.wait(meta.k === 'end' ? 'finalize' : meta.k);
    this.send(meta);
    return answer;
  }

  /** Sends a message; `parts` are copied. */
  send(meta: object, parts: readonly Uint8Array[] = []): void {
    if (this.ended) return;
    const message = this.read.length > 0 ? { ...meta, f: this.read.splice(0) } : meta;
    this.socket.write(encodeFrame(message, parts));
  }

  /** Notes pieces of the outputs' memory that have been read; the process learns it with the next message. */
  hasRead(offsets: readonly number[]): void {
    this.read.push(...offsets);
  }

  /** Ends the process in order; kills it when it does not end by itself. */
  async end(): Promise<void> {
    try {
      await this.ask({ k: 'end' });
    } catch (error) {
      if (!this.ended) this.options.logger.warn(`finalize: ${String(error)}`, { model: this.options.model });
    }
    await this.kill();
  }

  /** Resolves when the process is gone. */
  async kill(): Promise<void> {
    const { exitCode, signalCode } = this.child;
    if (!this.ended && exitCode === null && signalCode === null) {
      const gone = new Promise<void>((resolve) => this.child.once('exit', () => resolve()));
      this.child.kill('SIGKILL');
      await gone;
    }
    this.inputs.close();
    this.outputs.close();
  }

  private received(message: FromProcess, payload: Buffer): void {
    if (message.f) this.inputs.release(message.f);
    if (isQuestion(message)) {
      this.questions.ask(message, payload);
      return;
    }
    switch (message.k) {
      case 'x':
      case 's':
        this.onMessage(message, payload);
        return;
      case 'ready':
        this.answer.resolve(undefined);
        return;
      case 'fatal':
        this.answer.reject(internalError(message.e));
        return;
      case 'done':
        if (message.e === undefined) this.answer.resolve(message.v);
        else this.answer.reject(internalError(message.e));
        return;
      case 'stop':
        this.questions.stop(message.n);
        return;
      case 'log':
        this.log(message.v, message.t);
        return;
      default:
        message satisfies never;
    }
  }

  private log(level: 'INFO' | 'WARNING' | 'ERROR' | 'VERBOSE', text: string): void {
    const { logger, model } = this.options;
    const fields = { model };
    if (level === 'INFO') logger.info(text, fields);
    else if (level === 'WARNING') logger.warn(text, fields);
    else if (level === 'ERROR') logger.error(text, fields);
    else logger.verbose(1, text, fields);
  }

  private exited(reason: string): void {
    if (this.ended) return;
    this.ended = true;
    this.questions.close();
    this.answer.reject(internalError(reason));
    this.onExit(reason);
  }

  /** What the model prints goes into the log, line by line. */
  private forward(stream: Readable | null, level: 'info' | 'warn'): void {
    if (!stream) return;
    createInterface({ input: stream }).on('line', (line) => {
      if (line !== '') this.options.logger[level](line, { model: this.options.model });
    });
  }
}
