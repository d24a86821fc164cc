import { appendFile, writeFile } from 'node:fs/promises';
import { errorMessage, type Logger } from '../../../core/index.ts';
import type { RequestTrace } from '../../../telemetry/index.ts';

/** Traces kept in memory before they are appended to a file. */
const APPEND_AT = 500;

/** Writes traces as Triton's JSON: into one file that grows, or into numbered files of so many traces. */
export class TraceFile {
  private readonly path: string;
  private readonly logger: Logger;
  private waiting: RequestTrace[] = [];
  private index = 0;
  private opened = false;
  private work: Promise<void> = Promise.resolve();

  constructor(path: string, logger: Logger) {
    this.path = path;
    this.logger = logger;
  }

  add(trace: RequestTrace): void {
    this.waiting.push(trace);
    if (this.waiting.length >= APPEND_AT) this.append();
  }

  /** Appends to the one file. */
  append(): void {
    const traces = this.waiting.splice(0);
    if (traces.length === 0) return;
    const text = traces.map(entries).join(',');
    const first = !this.opened;
    this.opened = true;
    this.queue(() => (first ? writeFile(this.path, `[${text}`) : appendFile(this.path, `,${text}`)));
  }

  /** Writes the next numbered file. */
  writeNumbered(traces: readonly RequestTrace[]): void {
    const path = `${this.path}.${this.index++}`;
    this.queue(() => writeFile(path, `[${traces.map(entries).join(',')}]`));
  }

  async close(): Promise<void> {
    this.append();
    if (this.opened) this.queue(() => appendFile(this.path, ']'));
    await this.work;
  }

  private queue(write: () => Promise<void>): void {
    this.work = this.work.then(write).catch((error: unknown) => {
      this.logger.error(`failed creating trace file: ${errorMessage(error)}`);
    });
  }
}

/** One trace in Triton's form: what it is about, its tensors, its moments. */
function entries(trace: RequestTrace): string {
  const { id, modelName, modelVersion, requestId, parent } = trace;
  const parts: unknown[] = [
    {
      id,
      model_name: modelName,
      model_version: modelVersion,
      ...(requestId === '' ? {} : { request_id: requestId }),
      ...(parent ? { parent_id: parent.id } : {}),
    },
  ];
  for (const { name, ns } of trace.events) parts.push({ id, timestamps: [{ name, ns: Math.round(ns) }] });
  for (const { activity, name, data, shape, datatype } of trace.tensors) {
    parts.push({ id, activity, tensor: { name, data, shape, dtype: datatype } });
  }
  return parts.map((part) => JSON.stringify(part)).join(',');
}
