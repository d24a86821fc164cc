import type { Tensor } from '../../tensor/index.ts';

/** One implicit state of a model (https://github.com/triton-inference-server/server/blob/main/docs/user_guide/implicit_state_management.md). */
export interface StateSpec {
  readonly inputName: string;
  readonly outputName: string;
  /** What the first request of a sequence gets, named as the input and with a batch dimension where the model batches. */
  readonly initial: Tensor;
}

/** The states of one sequence: what its last request put out is what its next request takes in. */
export class SequenceStates {
  private readonly specs: readonly StateSpec[];
  private current: Tensor[];

  constructor(specs: readonly StateSpec[]) {
    this.specs = specs;
    this.current = specs.map((spec) => spec.initial);
  }

  /** A new sequence starts: back to the initial values. */
  reset(): void {
    this.current = this.specs.map((spec) => spec.initial);
  }

  /** The shapes of the states that the next request takes in. */
  shapes(start: boolean): string {
    if (this.specs.length === 0) return '';
    const tensors = start ? this.specs.map((spec) => spec.initial) : this.current;
    return tensors.map((tensor) => tensor.shape.join()).join('|');
  }

  get inputs(): readonly Tensor[] {
    return this.current;
  }

  /** Keeps a copy of the state outputs and returns the others. A state that the model did not put out stays as it is. */
  keep(outputs: readonly Tensor[]): readonly Tensor[] {
    if (this.specs.length === 0) return outputs;
    this.specs.forEach(({ inputName, outputName }, index) => {
      const output = outputs.find((candidate) => candidate.name === outputName);
      if (!output) return;
      const { datatype, shape } = output;
      this.current[index] = { name: inputName, datatype, shape, data: Uint8Array.from(output.data) };
    });
    return outputs.filter((output) => !this.specs.some((spec) => spec.outputName === output.name));
  }
}
