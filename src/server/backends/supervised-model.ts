import type { BackendModel, InstanceSpec, ModelContext } from './contract.ts';
import { secondsSetting } from './settings.ts';
import type { SupervisedInstance, SupervisionOptions, Worker } from './supervised-instance.ts';

export interface SupervisedModelOptions<W extends Worker> {
  /** For the model's metadata. */
  readonly properties?: Readonly<Record<string, string>> | undefined;
  /** The worker that the model was looked at with: the first instance gets it. */
  readonly first: W;
  /** Starts another one. */
  readonly launch: (spec: InstanceSpec) => Promise<W>;
  /** Makes a worker ready for requests. */
  readonly prepare: (worker: W, spec: InstanceSpec) => Promise<void>;
  readonly createInstance: (options: SupervisionOptions<W>) => SupervisedInstance<W>;
}

/** A model whose instances have a worker each. */
export function createSupervisedModel<W extends Worker>(
  context: ModelContext,
  { properties, first, launch, prepare, createInstance }: SupervisedModelOptions<W>,
): BackendModel {
  const { config, logger } = context;
  const executionLimitMs = secondsSetting(context, 'execute-timeout-seconds', 0, 'EXECUTE_TIMEOUT_SECONDS') * 1000;
  const instances: SupervisedInstance<W>[] = [];
  let spare: W | undefined = first;
  return {
    ...(properties ? { properties } : {}),
    get ready() {
      return instances.some((instance) => instance.ready);
    },
    async createInstance(spec) {
      const start = async (): Promise<W> => {
        const reused = spare;
        spare = undefined;
        const worker = reused ?? (await launch(spec));
        try {
          await prepare(worker, spec);
        } catch (error) {
          await worker.kill();
          throw error;
        }
        return worker;
      };
      const decoupled = config.modelTransactionPolicy?.decoupled ?? false;
      const instance = createInstance({
        name: spec.name,
        model: config.name,
        decoupled,
        logger,
        executionLimitMs,
        start,
      });
      instances.push(await instance.start());
      return instance;
    },
    async [Symbol.asyncDispose]() {
      await spare?.kill();
    },
  };
}
