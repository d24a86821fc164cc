/** A moment of a request, in nanoseconds of the server's monotonic clock. */
export interface TraceEvent {
  readonly name: string;
  readonly ns: number;
}

/** A tensor as a trace shows it. */
export interface TracedTensor {
  readonly activity: 'TENSOR_QUEUE_INPUT' | 'TENSOR_BACKEND_OUTPUT';
  readonly name: string;
  /** Values, separated by commas. */
  readonly data: string;
  readonly shape: string;
  readonly datatype: string;
}

/** What a trace records, and where it goes when it is complete. */
export interface TraceScope {
  readonly timestamps: boolean;
  readonly tensors: boolean;
  nextId(): number;
  completed(trace: RequestTrace): void;
}

/** What happened to one request, or to one step of an ensemble. */
export class RequestTrace {
  readonly id: number;
  readonly parent: RequestTrace | undefined;
  readonly modelName: string;
  readonly requestId: string;
  readonly events: TraceEvent[] = [];
  readonly tensors: TracedTensor[] = [];
  /** W3C trace context that the client sent along (`traceparent`). */
  readonly context: string | undefined;
  modelVersion = 0;
  failed = false;
  private readonly scope: TraceScope;

  constructor(scope: TraceScope, modelName: string, requestId: string, parent?: RequestTrace, context?: string) {
    this.scope = scope;
    this.id = scope.nextId();
    this.modelName = modelName;
    this.requestId = requestId;
    this.parent = parent;
    this.context = context;
  }

  get wantsTensors(): boolean {
    return this.scope.tensors;
  }

  child(modelName: string): RequestTrace {
    return new RequestTrace(this.scope, modelName, this.requestId, this);
  }

  mark(name: string, ns: number): void {
    if (this.scope.timestamps) this.events.push({ name, ns });
  }

  tensor(tensor: TracedTensor): void {
    this.tensors.push(tensor);
  }

  complete(): void {
    this.scope.completed(this);
  }
}
