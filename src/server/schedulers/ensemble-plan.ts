import { invalidArgument } from '../../core/index.ts';
import type { Shape } from '../../tensor/index.ts';

/** One step of an ensemble, as configured. */
export interface StepConfig {
  readonly model: string;
  /** Empty: the newest version that is ready. */
  readonly version: string;
  /** Ensemble tensor by input of the model. */
  readonly inputs: ReadonlyMap<string, string>;
  /** Ensemble tensor by output of the model. */
  readonly outputs: ReadonlyMap<string, string>;
}

/** A step with its place in the graph. */
export interface PlannedStep extends StepConfig {
  readonly index: number;
  readonly decoupled: boolean;
  /** The decoupled step for each of whose responses this one runs anew; -1 for none. */
  readonly scope: number;
}

export interface EnsembleConfig {
  readonly name: string;
  readonly batching: boolean;
  readonly steps: readonly StepConfig[];
  readonly inputs: readonly string[];
  /** Outputs with their dimensions, without the batch. */
  readonly outputs: ReadonlyMap<string, Shape>;
  /** Most requests of one ensemble request that may run in one step; 0 for no limit. */
  readonly maxInflightRequests: number;
}

export interface EnsemblePlan extends EnsembleConfig {
  readonly steps: readonly PlannedStep[];
}

/**
 * Finds out what runs once and what runs for every response of a decoupled step.
 * @throws INVALID_ARG when a step gets inputs from different decoupled steps, or waits for itself
 */
export function planEnsemble(config: EnsembleConfig, isDecoupled: (step: StepConfig) => boolean): EnsemblePlan {
  const producers = producersOf(config.steps);
  const decoupled = config.steps.map(isDecoupled);
  /** Decoupled steps above each step, outermost first. */
  const paths: (readonly number[] | undefined)[] = [];
  const visiting = new Set<number>();
  const pathOf = (index: number): readonly number[] => {
    const known = paths[index];
    if (known) return known;
    const step = config.steps[index];
    if (visiting.has(index)) {
      throw invalidArgument(
        `ensemble '${config.name}' has a cycle: step ${index} ('${step?.model}') waits for its own output`,
      );
    }
    visiting.add(index);
    let longest: readonly number[] = [];
    for (const tensor of step?.inputs.values() ?? []) {
      const producer = producers.get(tensor);
      if (producer === undefined) continue;
      const path = decoupled[producer] ? [...pathOf(producer), producer] : pathOf(producer);
      const [short, long] = path.length < longest.length ? [path, longest] : [longest, path];
      if (short.some((at, depth) => long[depth] !== at)) {
        throw invalidArgument(
          `in ensemble ${config.name}, step of model '${step?.model}' receives inputs originated from different decoupled models`,
        );
      }
      longest = long;
    }
    visiting.delete(index);
    paths[index] = longest;
    return longest;
  };
  return {
    ...config,
    steps: config.steps.map((step, index) => ({
      ...step,
      index,
      decoupled: decoupled[index] ?? false,
      scope: pathOf(index).at(-1) ?? -1,
    })),
  };
}

/** The step that makes each tensor. */
function producersOf(steps: readonly StepConfig[]): Producers {
  return new Map(steps.flatMap((step, index) => [...step.outputs.values()].map((tensor) => [tensor, index] as const)));
}

/** What a request that wants certain outputs takes. */
export interface EnsembleRoute {
  readonly wanted: readonly string[];
  /** The steps without which some wanted output would not come about. */
  readonly needed: ReadonlySet<number>;
  /** The scope in which all wanted outputs are known: the innermost of theirs. */
  readonly scope: number;
}

/** @param outputs the wanted ones; `undefined` for all */
export function routeFor(plan: EnsemblePlan, outputs: ReadonlySet<string> | undefined): EnsembleRoute {
  const wanted = [...plan.outputs.keys()].filter((name) => outputs?.has(name) ?? true);
  const producers = producersOf(plan.steps);
  return { wanted, needed: neededSteps(plan, producers, wanted), scope: outputScope(plan, producers, wanted) };
}

type Producers = ReadonlyMap<string, number>;

function neededSteps(plan: EnsemblePlan, producers: Producers, wanted: Iterable<string>): ReadonlySet<number> {
  const needed = new Set<number>();
  const open = [...wanted];
  for (let tensor = open.pop(); tensor !== undefined; tensor = open.pop()) {
    const producer = producers.get(tensor);
    if (producer === undefined || needed.has(producer)) continue;
    needed.add(producer);
    open.push(...(plan.steps[producer]?.inputs.values() ?? []));
  }
  return needed;
}

function outputScope(plan: EnsemblePlan, producers: Producers, wanted: Iterable<string>): number {
  let scope = -1;
  let depth = 0;
  for (const tensor of wanted) {
    const step = plan.steps[producers.get(tensor) ?? -1];
    if (!step) continue;
    const own = step.decoupled ? step.index : step.scope;
    const ownDepth = depthOf(plan, own);
    if (ownDepth > depth) {
      scope = own;
      depth = ownDepth;
    }
  }
  return scope;
}

function depthOf(plan: EnsemblePlan, scope: number): number {
  let depth = 0;
  for (let at = scope; at >= 0; at = plan.steps[at]?.scope ?? -1) depth++;
  return depth;
}
