import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { internalError, invalidArgument } from '../../core/index.ts';
import {
  configDataTypeName,
  type ModelConfig,
  type ModelSequenceBatching,
  wireDataType,
} from '../../protocol/index.ts';
import { ELEMENT_SIZE, elementCount, encodeStrings } from '../../tensor/index.ts';
import type { StateSpec } from '../schedulers/index.ts';

type State = ModelSequenceBatching['state'][number];
type InitialState = State['initialState'][number];

/**
 * The implicit states of a model with their initial values; files lie in the model's `initial_state` folder.
 * @throws INVALID_ARG in Triton's words, INTERNAL for a file that cannot be read
 */
export async function readInitialStates(config: ModelConfig, modelPath: string): Promise<readonly StateSpec[]> {
  const choice = config.schedulingChoice;
  if (choice.case !== 'sequenceBatching') return [];
  return Promise.all(choice.value.state.map((state) => readState(state, config, modelPath)));
}

async function readState(state: State, config: ModelConfig, modelPath: string): Promise<StateSpec> {
  const { inputName, outputName } = state;
  const datatype = wireDataType(state.dataType);
  if (datatype === undefined) {
    throw invalidArgument(
      `state '${inputName}' of model '${config.name}' has data type ${configDataTypeName(state.dataType)}`,
    );
  }
  const [initial] = state.initialState;
  if (initial) checkInitialState(initial, state);
  // Without a value of its own, a state of variable size starts with one element in that dimension.
  const dims = (initial?.dims ?? state.dims).map((dim) => (dim === -1n ? 1 : Number(dim)));
  const elements = elementCount(dims) ?? 0;
  const data =
    initial?.stateData.case === 'dataFile'
      ? await readStateFile(initial.stateData.value, inputName, modelPath)
      : datatype === 'BYTES'
        ? encodeStrings(Array.from({ length: elements }, () => ''))
        : new Uint8Array(elements * ELEMENT_SIZE[datatype]);
  if (datatype !== 'BYTES' && data.length !== elements * ELEMENT_SIZE[datatype]) {
    throw invalidArgument(
      `initial_state setting expects ${elements * ELEMENT_SIZE[datatype]} bytes for state '${inputName}' of model '${config.name}', the file has ${data.length}`,
    );
  }
  const shape = config.maxBatchSize > 0 ? [1, ...dims] : dims;
  return { inputName, outputName, initial: { name: inputName, datatype, shape, data } };
}

function checkInitialState(initial: InitialState, { inputName, dataType, dims }: State): void {
  if (initial.name === '') {
    throw invalidArgument(`Field 'name' must be set when using initial_state for state input '${inputName}'.`);
  }
  if (initial.dataType !== dataType) {
    throw invalidArgument(
      `The data type used for 'initial_state' field of state '${inputName}' does not match the state data type.`,
    );
  }
  if (initial.dims.length !== dims.length) {
    throw invalidArgument(
      `Number of dimensions in 'initial_state' doesn't match the size of 'state' dimensions for state input '${inputName}'. ${initial.dims.length} != ${dims.length}`,
    );
  }
  initial.dims.forEach((dim, index) => {
    const wanted = dims[index];
    if (dim < 0n) {
      throw invalidArgument(
        `'initial_state' field for state input name '${inputName}' contains variable dimensions: give a fixed size`,
      );
    }
    if (wanted === -1n || wanted === dim) return;
    throw invalidArgument(
      `'initial_state' dim for input name '${inputName}' doesn't match 'state' dim description. ${dim} != ${wanted}`,
    );
  });
}

async function readStateFile(file: string, state: string, modelPath: string): Promise<Uint8Array> {
  if (file.startsWith('/') || file.split(/[/\\]/).includes('..')) {
    throw invalidArgument(
      `initial_state file '${file}' of state '${state}' must stay inside the model's 'initial_state' folder`,
    );
  }
  const path = join(modelPath, 'initial_state', file);
  return readFile(path).catch(() => {
    throw internalError(`failed to open text file for read ${path}: No such file or directory`);
  });
}
