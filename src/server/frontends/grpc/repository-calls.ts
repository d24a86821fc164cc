import type { MessageShape } from '@bufbuild/protobuf';
import { invalidArgument } from '../../../core/index.ts';
import * as pb from '../../../protocol/generated/grpc_service_pb.js';
import { type Engine, type LoadOverride, loadOverride } from '../../engine/index.ts';
import { type Start, unary } from './unary.ts';

/** `RepositoryIndex`, `RepositoryModelLoad` and `RepositoryModelUnload`. */
export function repositoryMethods(engine: Engine): Record<string, Start> {
  return {
    RepositoryIndex: unary(pb.RepositoryIndexRequestSchema, pb.RepositoryIndexResponseSchema, async ({ ready }) => {
      const entries = await engine.index(ready);
      return {
        models: entries.map((entry) => ({
          name: entry.name,
          version: entry.version ?? '',
          state: entry.state ?? '',
          reason: entry.reason ?? '',
        })),
      };
    }),
    RepositoryModelLoad: unary(
      pb.RepositoryModelLoadRequestSchema,
      pb.RepositoryModelLoadResponseSchema,
      async ({ modelName, parameters }) => {
        await engine.load(modelName, overrideOf(parameters));
        return {};
      },
    ),
    RepositoryModelUnload: unary(
      pb.RepositoryModelUnloadRequestSchema,
      pb.RepositoryModelUnloadResponseSchema,
      async ({ modelName, parameters }) => {
        const choice = parameters['unload_dependents']?.parameterChoice;
        if (choice !== undefined && choice.case !== 'boolParam') {
          throw invalidArgument("invalid value type for 'unload_dependents' parameter, expected bool_param.");
        }
        await engine.unload(modelName, choice?.value ?? false);
        return {};
      },
    ),
  };
}

type LoadParameters = MessageShape<typeof pb.RepositoryModelLoadRequestSchema>['parameters'];

function overrideOf(parameters: LoadParameters): LoadOverride | undefined {
  return loadOverride(parameters, {
    config({ parameterChoice }) {
      if (parameterChoice.case === 'stringParam') return parameterChoice.value;
      throw invalidArgument("invalid value type for 'config' parameter, expected string_param.");
    },
    file({ parameterChoice }, name) {
      if (parameterChoice.case === 'bytesParam') return parameterChoice.value;
      throw invalidArgument(`invalid value type for '${name}' parameter, expected bytes_param.`);
    },
  });
}
