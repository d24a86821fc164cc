import { invalidArgument } from '../../../core/index.ts';
import { isJsonObject, type JsonObject, jsonText } from '../../../protocol/index.ts';
import { type LoadOverride, loadOverride } from '../../engine/index.ts';
import { emptyReply, JSON_TYPE, jsonReply } from '../exchange.ts';
import { bodyObject, POST_ONLY, type Route } from './route.ts';

export const INDEX: Route = {
  api: 'model-repository',
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
  api: 'model-repository',
  methods: POST_ONLY,
  changesState: true,
  async handle({ engine, http, name }) {
    await engine.load(name, overrideOf(bodyObject(http)));
    return emptyReply(200, JSON_TYPE);
  },
};

export const UNLOAD: Route = {
  api: 'model-repository',
  methods: POST_ONLY,
  changesState: true,
  async handle({ engine, http, name }) {
    const { parameters } = bodyObject(http);
    const withSteps = isJsonObject(parameters) ? parameters['unload_dependents'] : undefined;
    if (withSteps !== undefined && typeof withSteps !== 'boolean') {
      throw invalidArgument(`'unload_dependents' must be true or false, got ${jsonText(withSteps)}`);
    }
    await engine.unload(name, withSteps ?? false);
    return emptyReply(200, JSON_TYPE);
  },
};

/** The `config` parameter of a load is an object or its text, a file is base64. */
function overrideOf({ parameters }: JsonObject): LoadOverride | undefined {
  if (parameters === undefined) return undefined;
  if (!isJsonObject(parameters)) throw invalidArgument("'parameters' of a load request must be an object");
  return loadOverride(parameters, {
    config(value) {
      if (typeof value === 'string') return value;
      if (isJsonObject(value)) return jsonText(value);
      throw invalidArgument("'config' of a load request must be a JSON object or its text");
    },
    file(value, name) {
      if (typeof value === 'string' && BASE64.test(value)) return Buffer.from(value, 'base64');
      throw invalidArgument(`'${name}' of a load request must be the file's content in base64`);
    },
  });
}

const BASE64 = /^[A-Za-z0-9+/\s]*={0,2}\s*$/;
