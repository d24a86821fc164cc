import { ServerError, toServerError } from '../../core/index.ts';
import { type InferenceOutcome, type InferenceRequest, type InferenceResponse, isFinal } from '../../protocol/index.ts';
import type { RequestTrace } from '../../telemetry/index.ts';
import type { Shape, Tensor } from '../../tensor/index.ts';
import type { ExecutionReport } from '../backends/contract.ts';
import type { ScheduledRequest } from './contract.ts';
import type { EnsemblePlan, EnsembleRoute, PlannedStep } from './ensemble-plan.ts';

/** A model as an ensemble sees it. */
export interface StepModel {
  readonly batching: boolean;
  /** Dimensions of an input without the batch; `undefined` when there is no such input. */
  inputDims(name: string): Shape | undefined;
  /**
   * Runs a request.
   * @param executed called once the times of the execution that the request was in are known
   */
  infer(
    request: InferenceRequest,
    sink: (outcome: InferenceOutcome) => void,
    executed: (report: ExecutionReport) => void,
    trace: RequestTrace | undefined,
  ): () => void;
}

/** Finds the model of a step; throws when it is not there. */
export type StepResolver = (step: PlannedStep) => StepModel;

/** Tensors of the ensemble that belong together: those of the request, or of one response of a decoupled step. */
interface Frame {
  readonly parent: Frame | undefined;
  readonly scope: number;
  readonly tensors: Map<string, Tensor>;
  readonly started: Set<number>;
  readonly children: Frame[];
  delivered: boolean;
}

/** One request on its way through an ensemble's graph. */
export class EnsembleRun {
  private readonly plan: EnsemblePlan;
  private readonly request: ScheduledRequest;
  private readonly resolve: StepResolver;
  private readonly ended: (run: EnsembleRun) => void;
  private readonly route: EnsembleRoute;
  private readonly root: Frame;
  private readonly absent = new Set<string>();
  private readonly inflight = new Map<object, () => void>();
  private readonly perStep = new Map<number, number>();
  private readonly parked: (() => void)[] = [];
  private readonly releases: (() => void)[] = [];
  private retained = 0;
  private advancing = false;
  private over = false;
  readonly report = { computeInputNs: 0, computeInferNs: 0, computeOutputNs: 0 };
  failed = false;

  constructor(
    plan: EnsemblePlan,
    route: EnsembleRoute,
    request: ScheduledRequest,
    resolve: StepResolver,
    ended: (run: EnsembleRun) => void,
  ) {
    this.plan = plan;
    this.request = request;
    this.resolve = resolve;
    this.ended = ended;
    this.route = route;
    this.root = frame(undefined, -1);
    for (const input of request.inputs) this.root.tensors.set(input.name, input);
    for (const name of plan.inputs) if (!this.root.tensors.has(name)) this.absent.add(name);
  }

  start(): void {
    this.advance();
  }

  /** The client is gone: steps that wait are taken out of their queues, and no further one starts. */
  cancel(error: ServerError): void {
    this.fail(error);
  }

  private advance(): void {
    if (this.advancing) return;
    this.advancing = true;
    // Steps that answer at once come back here: the loop goes on until a round starts nothing.
    while (!this.over && this.round(this.root));
    this.advancing = false;
    if (!this.over && this.inflight.size === 0 && this.parked.length === 0) this.complete();
  }

  private round(at: Frame): boolean {
    let progress = false;
    for (const step of this.plan.steps) {
      if (step.scope !== at.scope || at.started.has(step.index) || !this.route.needed.has(step.index)) continue;
      if (![...step.inputs.values()].every((tensor) => this.absent.has(tensor) || lookUp(at, tensor))) continue;
      at.started.add(step.index);
      this.runStep(step, at);
      progress = true;
      if (this.over) return false;
    }
    if (at.scope === this.route.scope && !at.delivered && this.deliver(at)) progress = true;
    for (const child of at.children) if (!this.over && this.round(child)) progress = true;
    return progress;
  }

  private runStep(step: PlannedStep, at: Frame): void {
    const { maxInflightRequests } = this.plan;
    const running = this.perStep.get(step.index) ?? 0;
    if (maxInflightRequests > 0 && running >= maxInflightRequests) {
      this.parked.push(() => {
        if (!this.over) this.runStep(step, at);
      });
      return;
    }
    this.perStep.set(step.index, running + 1);
    const token = {};
    let done = false;
    try {
      const model = this.resolve(step);
      const cancel = model.infer(
        this.stepRequest(step, at, model),
        (outcome) => {
          if (isFinal(outcome)) {
            done = true;
            this.inflight.delete(token);
            this.perStep.set(step.index, (this.perStep.get(step.index) ?? 1) - 1);
            this.parked.shift()?.();
          }
          this.take(step, at, outcome);
        },
        (report) => {
          this.report.computeInputNs += report.computeInputNs;
          this.report.computeInferNs += report.computeInferNs;
          this.report.computeOutputNs += report.computeOutputNs;
        },
        this.request.trace?.child(step.model),
      );
      if (!done) this.inflight.set(token, cancel);
    } catch (thrown) {
      this.failStep(step, toServerError(thrown));
    }
  }

  private stepRequest(step: PlannedStep, at: Frame, model: StepModel): InferenceRequest {
    const { request } = this;
    const inputs: Tensor[] = [];
    for (const [name, tensorName] of step.inputs) {
      const tensor = lookUp(at, tensorName);
      if (!tensor) continue;
      inputs.push({ ...tensor, name, shape: fitBatch(tensor.shape, model.inputDims(name), model.batching) });
    }
    return {
      modelName: step.model,
      modelVersion: step.version,
      id: request.requestId,
      inputs,
      outputs: [...step.outputs.keys()].map((name) => ({ name, classification: 0, binary: true })),
      parameters: request.parameters,
      ...(request.sequence ? { sequence: request.sequence } : {}),
      priority: request.priority,
      timeoutMicros: request.timeoutMicros,
    };
  }

  private take(step: PlannedStep, at: Frame, outcome: InferenceOutcome): void {
    if (this.over) return;
    if (outcome.kind === 'error') {
      this.failStep(step, outcome.error);
      return;
    }
    if (outcome.kind === 'response') this.store(step, at, outcome.response);
    this.advance();
  }

  private store(step: PlannedStep, at: Frame, response: InferenceResponse): void {
    const release = response.hold?.();
    if (release) this.releases.push(release);
    const target = step.decoupled ? frame(at, step.index) : at;
    if (step.decoupled) at.children.push(target);
    for (const output of response.outputs) {
      const tensor = step.outputs.get(output.name);
      if (tensor !== undefined) target.tensors.set(tensor, output);
    }
  }

  /** Answers with the outputs of a frame once they are all there. */
  private deliver(at: Frame): boolean {
    const outputs: Tensor[] = [];
    for (const name of this.route.wanted) {
      const tensor = lookUp(at, name);
      if (!tensor) return false;
      outputs.push({ ...tensor, name, shape: fitBatch(tensor.shape, this.plan.outputs.get(name), this.plan.batching) });
    }
    at.delivered = true;
    const final = this.route.scope === -1;
    this.request.respond(outputs, final, () => {
      this.retained++;
      return () => {
        this.retained--;
        this.releaseAll();
      };
    });
    if (final) this.finish();
    return true;
  }

  /** Nothing runs and nothing can start any more. */
  private complete(): void {
    if (this.route.scope === -1 || !allDelivered(this.root, this.route.scope)) {
      this.fail(
        new ServerError(
          'INVALID_ARG',
          `in ensemble '${this.plan.name}', unexpected deadlock, at least one output is not set while no more ensemble steps can be made`,
        ),
      );
      return;
    }
    this.request.finish();
    this.finish();
  }

  private failStep(step: PlannedStep, error: ServerError): void {
    // Clients know the beginning; the step is named at the end where the message does not.
    const where = error.message.includes(`'${step.model}'`) ? '' : ` (in the step of model '${step.model}')`;
    const message = `in ensemble '${this.plan.name}', ${error.message}${where}`;
    this.fail(new ServerError(error.code, message, { cause: error, overload: error.overload }));
  }

  private fail(error: ServerError): void {
    if (this.over) return;
    this.failed = true;
    this.request.fail(error);
    this.finish();
  }

  private finish(): void {
    this.over = true;
    const running = [...this.inflight.values()];
    this.inflight.clear();
    for (const cancel of running) cancel();
    this.releaseAll();
    this.ended(this);
  }

  /** The steps' buffers go back once the run is over and no reader has outputs in use. */
  private releaseAll(): void {
    if (!this.over || this.retained > 0) return;
    for (const release of this.releases.splice(0)) release();
  }
}

function frame(parent: Frame | undefined, scope: number): Frame {
  return { parent, scope, tensors: new Map(), started: new Set(), children: [], delivered: false };
}

function lookUp(at: Frame, name: string): Tensor | undefined {
  for (let next: Frame | undefined = at; next; next = next.parent) {
    const tensor = next.tensors.get(name);
    if (tensor) return tensor;
  }
  return undefined;
}

function allDelivered(at: Frame, scope: number): boolean {
  if (at.scope === scope && !at.delivered) return false;
  return at.children.every((child) => allDelivered(child, scope));
}

/**
 * A tensor that goes from a model that batches to one that does not, or the other way round, loses or gets a batch
 * dimension of 1 where the receiver's dimensions ask for it.
 */
function fitBatch(shape: Shape, dims: Shape | undefined, batching: boolean): Shape {
  if (!dims) return shape;
  if (batching) return shape.length === dims.length ? [1, ...shape] : shape;
  return shape.length === dims.length + 1 && shape[0] === 1 ? shape.slice(1) : shape;
}
