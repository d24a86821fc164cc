import { buildOnnx, type Initializer, type OnnxNode, ONNX_TYPES } from '../../test/fixtures/onnx-builder.ts';
import { transposed, type Weights } from './safetensors.ts';

/** Sizes of a BERT encoder, under the names of its `config.json`. */
export interface BertConfig {
  readonly hidden_size: number;
  readonly num_attention_heads: number;
  readonly num_hidden_layers: number;
  readonly layer_norm_eps: number;
  readonly pad_token_id: number;
}

/**
 * The ONNX model of a BERT sentence encoder: token ids `[N, S]` in, embeddings `[N, hidden]` out, the mean over the
 * tokens that are no padding, of length 1. Written node by node, so that the conversion needs no framework.
 */
export function bertEncoder(config: BertConfig, weights: (name: string) => Weights): Buffer {
  const graph = new Graph(weights);
  const { hidden_size: hidden, num_attention_heads: heads, layer_norm_eps: epsilon } = config;
  const constants = {
    pad: graph.integers('PAD', [], config.pad_token_id),
    zero: graph.integers('ZERO', [1], 0),
    one: graph.integers('ONE', [1], 1),
    axis1: graph.integers('AXIS1', [1], 1),
    two: graph.integers('AXES12', [2], 1, 2),
    last: graph.integers('LAST', [1], -1),
    split: graph.integers('SPLIT', [4], 0, 0, heads, hidden / heads),
    merge: graph.integers('MERGE', [3], 0, 0, hidden),
    half: graph.floats('HALF', 0.5),
    unit: graph.floats('UNIT', 1),
    root2: graph.floats('ROOT2', Math.SQRT1_2),
    away: graph.floats('AWAY', -10_000),
    least: graph.floats('LEAST', 1e-9),
  };
  const isPad = graph.node('Equal', ['input_ids', constants.pad]);
  const mask = graph.node('Cast', [graph.node('Not', [isPad])], { ints: { to: ONNX_TYPES.FP32 } });
  const hiddenFrom = graph.node('Mul', [graph.node('Sub', [constants.unit, mask]), constants.away]);
  const bias = graph.node('Unsqueeze', [hiddenFrom, constants.two]);

  const length = graph.node('Slice', [
    graph.node('Shape', ['input_ids']),
    constants.one,
    graph.integers('TWO', [1], 2),
  ]);
  const positions = graph.node('Slice', [
    graph.tensor('POSITIONS', positionTable(weights)),
    constants.zero,
    length,
    constants.zero,
  ]);
  const words = graph.node('Gather', [
    graph.tensor('WORDS', weights('embeddings.word_embeddings.weight')),
    'input_ids',
  ]);
  let current = graph.layerNorm(graph.node('Add', [words, positions]), 'embeddings.LayerNorm', epsilon);

  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const at = `encoder.layer.${layer}`;
    const project = (part: string, axes: readonly number[], scale = 1): string => {
      const flat = graph.linear(current, `${at}.attention.self.${part}`, scale);
      return graph.node('Transpose', [graph.node('Reshape', [flat, constants.split])], { intLists: { perm: axes } });
    };
    const query = project('query', [0, 2, 1, 3], 1 / Math.sqrt(hidden / heads));
    const key = project('key', [0, 2, 3, 1]);
    const value = project('value', [0, 2, 1, 3]);
    const scores = graph.node('Add', [graph.node('MatMul', [query, key]), bias]);
    const attention = graph.node('MatMul', [graph.node('Softmax', [scores], { ints: { axis: 3 } }), value]);
    const merged = graph.node('Reshape', [
      graph.node('Transpose', [attention], { intLists: { perm: [0, 2, 1, 3] } }),
      constants.merge,
    ]);
    const attended = graph.linear(merged, `${at}.attention.output.dense`);
    const middle = graph.layerNorm(graph.node('Add', [attended, current]), `${at}.attention.output.LayerNorm`, epsilon);
    const wide = graph.linear(middle, `${at}.intermediate.dense`);
    const erf = graph.node('Erf', [graph.node('Mul', [wide, constants.root2])]);
    const gelu = graph.node('Mul', [
      graph.node('Mul', [wide, constants.half]),
      graph.node('Add', [erf, constants.unit]),
    ]);
    const narrow = graph.linear(gelu, `${at}.output.dense`);
    current = graph.layerNorm(graph.node('Add', [narrow, middle]), `${at}.output.LayerNorm`, epsilon);
  }

  const masked = graph.node('Mul', [current, graph.node('Unsqueeze', [mask, constants.last])]);
  const sum = graph.node('ReduceSum', [masked, constants.axis1], { ints: { keepdims: 0 } });
  const tokens = graph.node('ReduceSum', [mask, constants.axis1], { ints: { keepdims: 1 } });
  const mean = graph.node('Div', [sum, graph.node('Max', [tokens, constants.least])]);
  const norm = graph.node('ReduceL2', [mean], { intLists: { axes: [1] }, ints: { keepdims: 1 } });
  graph.node('Div', [mean, graph.node('Max', [norm, constants.least])], { output: 'embeddings' });
  return buildOnnx({
    inputs: [{ name: 'input_ids', type: 'INT64', dims: ['N', 'S'] }],
    outputs: [{ name: 'embeddings', type: 'FP32', dims: ['N', hidden] }],
    nodes: graph.nodes,
    initializers: graph.initializers,
  });
}

/** Positions and the first token type, which is the only one, in one table. */
function positionTable(weights: (name: string) => Weights): Weights {
  const { shape, values } = weights('embeddings.position_embeddings.weight');
  const types = weights('embeddings.token_type_embeddings.weight').values;
  const [, width = 1] = shape;
  return { shape, values: values.map((value, index) => value + (types[index % width] ?? 0)) };
}

/** A linear head: `logits = embeddings x weights + bias`. */
export function linearHead(weights: Weights, bias: Float32Array): Buffer {
  const [width = 0, classes = 0] = weights.shape;
  return buildOnnx({
    inputs: [{ name: 'embeddings', type: 'FP32', dims: ['N', width] }],
    outputs: [{ name: 'logits', type: 'FP32', dims: ['N', classes] }],
    nodes: [
      { op: 'MatMul', inputs: ['embeddings', 'W'], outputs: ['P'] },
      { op: 'Add', inputs: ['P', 'B'], outputs: ['logits'] },
    ],
    initializers: [
      { name: 'W', dims: weights.shape, values: weights.values },
      { name: 'B', dims: [classes], values: bias },
    ],
  });
}

/** Nodes and constants as they are added; every node has one output, whose name is returned. */
class Graph {
  readonly nodes: OnnxNode[] = [];
  readonly initializers: Initializer[] = [];
  private readonly weights: (name: string) => Weights;

  constructor(weights: (name: string) => Weights) {
    this.weights = weights;
  }

  node(
    op: string,
    inputs: readonly string[],
    { output = `N${this.nodes.length}`, ...attributes }: Partial<OnnxNode> & { readonly output?: string } = {},
  ): string {
    this.nodes.push({ op, inputs, outputs: [output], ...attributes });
    return output;
  }

  tensor(name: string, { shape, values }: Weights): string {
    this.initializers.push({ name, dims: shape, values });
    return name;
  }

  integers(name: string, dims: readonly number[], ...values: readonly number[]): string {
    this.initializers.push({ name, dims, values: BigInt64Array.from(values.map(BigInt)) });
    return name;
  }

  floats(name: string, value: number): string {
    this.initializers.push({ name, dims: [], values: Float32Array.of(value) });
    return name;
  }

  /** A fully connected layer of the checkpoint. */
  linear(input: string, name: string, scale = 1): string {
    const { shape, values } = transposed(this.weights(`${name}.weight`));
    const bias = this.weights(`${name}.bias`);
    const scaled = (numbers: Float32Array): Float32Array => (scale === 1 ? numbers : numbers.map((x) => x * scale));
    const product = this.node('MatMul', [input, this.tensor(`${name}.W`, { shape, values: scaled(values) })]);
    return this.node('Add', [product, this.tensor(`${name}.B`, { shape: bias.shape, values: scaled(bias.values) })]);
  }

  layerNorm(input: string, name: string, epsilon: number): string {
    const scale = this.tensor(`${name}.W`, this.weights(`${name}.weight`));
    const bias = this.tensor(`${name}.B`, this.weights(`${name}.bias`));
    return this.node('LayerNormalization', [input, scale, bias], { ints: { axis: 2 }, floats: { epsilon } });
  }
}
