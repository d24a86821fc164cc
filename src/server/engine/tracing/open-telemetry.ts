import { randomBytes } from 'node:crypto';
import { errorMessage, type Logger, NANOS_PER_MILLI } from '../../../core/index.ts';
import type { RequestTrace } from '../../../telemetry/index.ts';

/** How spans leave the server (`--trace-config=opentelemetry,...`). */
export interface OpenTelemetryOptions {
  /** OTLP over HTTP, in JSON. */
  readonly url: string;
  /** Attributes of the resource, `service.name` among them. */
  readonly resource: ReadonlyMap<string, string>;
  readonly maxQueueSize: number;
  readonly scheduleDelayMillis: number;
  readonly maxExportBatchSize: number;
}

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
  readonly events: readonly { readonly timeUnixNano: string; readonly name: string }[];
  readonly status: { readonly code: number };
}

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue: string } | { readonly intValue: string };
}

const SERVER = 2;
const INTERNAL = 1;
const EXPORT_TIMEOUT_MS = 10_000;

/** Sends traces as spans: one for the request, one for every model that ran, one for its compute. */
export class OpenTelemetryExporter {
  private readonly options: OpenTelemetryOptions;
  private readonly logger: Logger;
  private readonly waiting: Span[] = [];
  private readonly ids = new WeakMap<RequestTrace, { readonly traceId: string; readonly spanId: string }>();
  private readonly timer: NodeJS.Timeout;
  private sending: Promise<void> = Promise.resolve();
  private failing = false;

  constructor(options: OpenTelemetryOptions, logger: Logger) {
    this.options = options;
    this.logger = logger;
    this.timer = setInterval(() => this.flush(), options.scheduleDelayMillis);
    this.timer.unref();
  }

  add(trace: RequestTrace): void {
    if (this.waiting.length >= this.options.maxQueueSize) return;
    this.waiting.push(...this.spansOf(trace));
    if (this.waiting.length >= this.options.maxExportBatchSize) this.flush();
  }

  flush(): void {
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, this.options.maxExportBatchSize);
      this.sending = this.sending.then(() => this.send(batch));
    }
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    this.flush();
    await this.sending;
  }

  private async send(spans: readonly Span[]): Promise<void> {
    const attributes = [...this.options.resource].map(([key, value]) => text(key, value));
    const body = JSON.stringify({
      resourceSpans: [{ resource: { attributes }, scopeSpans: [{ scope: { name: 'goodput' }, spans }] }],
    });
    try {
      const response = await fetch(this.options.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
        signal: AbortSignal.timeout(EXPORT_TIMEOUT_MS),
      });
      await response.arrayBuffer();
      if (!response.ok) throw new Error(`the collector answered with status ${response.status}`);
      this.failing = false;
    } catch (error) {
      // Once per outage.
      if (!this.failing) this.logger.error(`exporting traces to ${this.options.url} failed: ${errorMessage(error)}`);
      this.failing = true;
    }
  }

  /** A trace's own spans. The ids of its parent are made when the first of them asks. */
  private spansOf(trace: RequestTrace): readonly Span[] {
    const { traceId, spanId } = this.idsOf(trace);
    const at = (name: string): number | undefined => trace.events.find((event) => event.name === name)?.ns;
    const first = Math.min(...trace.events.map((event) => event.ns));
    const last = Math.max(...trace.events.map((event) => event.ns));
    if (trace.events.length === 0) return [];
    const attributes = [
      text('triton.model_name', trace.modelName),
      { key: 'triton.model_version', value: { intValue: String(trace.modelVersion) } },
      { key: 'triton.trace_id', value: { intValue: String(trace.id) } },
      ...(trace.parent ? [{ key: 'triton.trace_parent_id', value: { intValue: String(trace.parent.id) } }] : []),
      ...(trace.requestId === '' ? [] : [text('triton.request_id', trace.requestId)]),
    ];
    const status = { code: trace.failed ? 2 : 0 };
    const events = (names: RegExp): Span['events'] =>
      trace.events
        .filter((event) => names.test(event.name))
        .map(({ name, ns }) => ({ name, timeUnixNano: epochNanos(ns) }));
    const span = (
      name: string,
      id: string,
      parent: string | undefined,
      from: number,
      to: number,
      rest: Pick<Span, 'attributes' | 'events' | 'kind'>,
    ): Span => ({
      traceId,
      spanId: id,
      ...(parent === undefined ? {} : { parentSpanId: parent }),
      name,
      startTimeUnixNano: epochNanos(from),
      endTimeUnixNano: epochNanos(to),
      status,
      ...rest,
    });
    const spans: Span[] = [];
    let above = trace.parent ? this.idsOf(trace.parent).spanId : contextOf(trace.context)?.spanId;
    if (!trace.parent) {
      const request = newSpanId();
      const wire = { attributes, events: events(/^(?:HTTP|GRPC|INFER)_/), kind: SERVER };
      spans.push(span('InferRequest', request, above, first, last, wire));
      above = request;
    }
    const inner = { attributes, events: events(/^(?:REQUEST|QUEUE)_/), kind: INTERNAL };
    spans.push(span(trace.modelName, spanId, above, at('REQUEST_START') ?? first, at('REQUEST_END') ?? last, inner));
    const start = at('COMPUTE_START');
    const end = at('COMPUTE_END');
    if (start !== undefined && end !== undefined) {
      const compute = { attributes: [], events: events(/^COMPUTE_/), kind: INTERNAL };
      spans.push(span('compute', newSpanId(), spanId, start, end, compute));
    }
    return spans;
  }

  private idsOf(trace: RequestTrace): { readonly traceId: string; readonly spanId: string } {
    const known = this.ids.get(trace);
    if (known) return known;
    const traceId = trace.parent
      ? this.idsOf(trace.parent).traceId
      : (contextOf(trace.context)?.traceId ?? randomBytes(16).toString('hex'));
    const ids = { traceId, spanId: newSpanId() };
    this.ids.set(trace, ids);
    return ids;
  }
}

/** The W3C trace context: `00-TRACE-SPAN-FLAGS`. */
function contextOf(header: string | undefined): { readonly traceId: string; readonly spanId: string } | undefined {
  const match = /^[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-[\da-f]{2}$/.exec(header ?? '');
  if (!match || /^0+$/.test(match[1] ?? '') || /^0+$/.test(match[2] ?? '')) return undefined;
  return { traceId: match[1] ?? '', spanId: match[2] ?? '' };
}

function newSpanId(): string {
  return randomBytes(8).toString('hex');
}

/** The monotonic clock's time as nanoseconds since the epoch. */
function epochNanos(ns: number): string {
  const milliseconds = performance.timeOrigin + ns / NANOS_PER_MILLI;
  const whole = Math.floor(milliseconds);
  return String(BigInt(whole) * 1_000_000n + BigInt(Math.round((milliseconds - whole) * 1e6)));
}

function text(key: string, value: string): Attribute {
  return { key, value: { stringValue: value } };
}
