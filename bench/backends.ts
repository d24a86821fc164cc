import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BenchOptions } from './main.ts';
import { grpcTarget, httpTarget, STEP } from './models.ts';
import { startGoodput } from './servers.ts';
import { compare, type Contender, external } from './simple.ts';

const PYTHON = `import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor("OUTPUT0", pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy())]
            )
            for request in requests
        ]
`;

const NODE = `import { defineModel } from 'goodput/model';

export default defineModel({
  inputs: { INPUT0: { type: 'FP32', dims: [-1] } },
  outputs: { OUTPUT0: { type: 'FP32', dims: [-1] } },
  run: ({ inputs: { INPUT0 } }) => ({ OUTPUT0: { shape: INPUT0.shape, values: INPUT0.values } }),
});
`;

/** Models that send 16 floats back, one instance each, without dynamic batching. */
function makeRepository(): string {
  const repository = mkdtempSync(join(tmpdir(), 'goodput-bench-backends-'));
  const write = (name: string, backend: string, file: string, text: string, extra = ''): void => {
    mkdirSync(join(repository, name, '1'), { recursive: true });
    writeFileSync(join(repository, name, '1', file), text);
    writeFileSync(
      join(repository, name, 'config.pbtxt'),
      `backend: "${backend}" max_batch_size: 8 instance_group [ { count: 1 kind: KIND_CPU } ] ${extra}
       input { name: "INPUT0" data_type: TYPE_FP32 dims: -1 } output { name: "OUTPUT0" data_type: TYPE_FP32 dims: -1 }`,
    );
  };
  write('noop_python', 'python', 'model.py', PYTHON);
  write('noop_node', 'node', 'model.ts', NODE);
  write('noop_inline', 'node', 'model.ts', NODE, 'parameters { key: "placement" value { string_value: "inline" } }');
  return repository;
}

/** What a model costs that does nothing, by backend; another server's Python backend beside it where there is one. */
export async function benchBackends(options: BenchOptions): Promise<void> {
  const server = await startGoodput(makeRepository(), { http: 18_000, grpc: 18_001 });
  const on = (name: string, model: string): Contender => ({
    name,
    http: httpTarget(18_000, model, STEP),
    grpc: grpcTarget(18_001, model, STEP),
  });
  const others =
    options.http === undefined && options.grpc === undefined ? [] : [external(options, 'noop_python', STEP)];
  const contenders = [
    ...others,
    on('Python', 'noop_python'),
    on('Node, thread', 'noop_node'),
    on('Node, inline', 'noop_inline'),
  ];
  try {
    for (const [protocol, name] of [
      ['http', 'HTTP/1.1'],
      ['grpc', 'gRPC'],
    ] as const) {
      const base = contenders[0]?.name ?? '';
      await compare(`a model that does nothing over ${name}`, protocol, contenders, options, [1, 16], base);
    }
  } finally {
    await server.stop();
  }
}
