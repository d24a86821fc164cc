import { invalidArgument } from '../../../core/index.ts';
import { isJsonObject, type JsonObject } from '../../../protocol/index.ts';
import { configOverride } from '../../engine/index.ts';
import { emptyReply, JSON_TYPE, jsonReply } from './exchange.ts';
import { bodyObject, POST_ONLY, type Route } from './route.ts';

export const INDEX: Route = {
  methods: POST_ONLY,
  async handle({ engine, http }) {
    const body = bodyObject(http);
    const ready = body['ready'] === true;
    const entries = await engine.index(ready);
    return jsonReply(
      200,
      JSON.stringify(
        entries.map(({ name, version, state, reason }) => ({
          name,
          ...(version === undefined ? {} : { version }),
          ...(state === undefined ? {} : { state }),
          ...(reason === undefined ? {} : { reason }),
        })),
      ),
    );
  },
};

export const LOAD: Route = {
  methods: POST_ONLY,
  changesState: true,
  async handle({ engine, http, name }) {
    await engine.load(name, loadOverride(bodyObject(http)));
    return emptyReply(200, JSON_TYPE);
  },
};

export const UNLOAD: Route = {
  methods: POST_ONLY,
  changesState: true,
  async handle({ engine, name }) {
    await engine.unload(name);
    return emptyReply(200, JSON_TYPE);
  },
};

/** The `config` parameter of a load: an object or its text. */
function loadOverride({ parameters }: JsonObject): string | undefined {
  if (parameters === undefined) return undefined;
  if (!isJsonObject(parameters)) throw invalidArgument("'parameters' of a load request must be an object");
  return configOverride(parameters, (value) => {
    if (typeof value === 'string') return value;
    if (isJsonObject(value)) return JSON.stringify(value);
    throw invalidArgument("'config' of a load request must be a JSON object or its text");
  });
}
