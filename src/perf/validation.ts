import { ClientError } from '../client/index.ts';
import type { ModelInfo } from './model-info.ts';
import type { PerfOptions } from './options.ts';
import type { NextRequest } from './requests.ts';
import { createOutputReader } from './response-outputs.ts';

type Validator = (request: NextRequest, body: Buffer) => ClientError | undefined;

/** Compares responses with the `validation_data` of the input file, for outputs that come as binary tensors. */
export function createValidator(model: ModelInfo, options: PerfOptions): Validator | undefined {
  const read = createOutputReader(options);
  if (!read) return undefined;
  return ({ steps }, body) => {
    const [first] = steps;
    if (!first || first.expected.size === 0) return undefined;
    const outputs = read(body);
    for (const [name] of first.expected) {
      const expected = Buffer.concat(steps.map(({ expected: values }) => values.get(name) ?? Buffer.alloc(0)));
      const actual = outputs.get(name);
      if (!actual) return new ClientError('protocol', `the response has no output '${name}' to validate`);
      if (!expected.equals(actual.data)) {
        return new ClientError(
          'protocol',
          `output '${name}' of model '${model.name}' is not what validation_data says`,
        );
      }
    }
    return undefined;
  };
}
