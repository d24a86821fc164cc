import type { Engine } from '../../engine/index.ts';
import { type HttpHandler, type HttpReply, type HttpRequest, jsonReply } from '../exchange.ts';
import { missingHeader, type Restrictions } from '../restrictions.ts';
import { answer, type Reply } from './answer.ts';
import { CHAT_STYLE, chatOptions, COMPLETION_STYLE, completionOptions } from './completions.ts';
import { embed, embeddingTensors } from './embeddings.ts';
import { errorAnswer, OpenAiError } from './errors.ts';
import { Fields } from './fields.ts';
import { isLanguageModel } from './language-model.ts';

/** Everything below this path is OpenAI's API. */
export const OPENAI_PREFIX = '/v1/';

export interface OpenAiOptions {
  readonly engine: Engine;
  readonly restrictions: Restrictions;
}

type Endpoint = (engine: Engine, http: HttpRequest, reply: Reply) => (() => void) | undefined;

const ENDPOINTS: Readonly<Record<string, Endpoint>> = {
  '/v1/chat/completions': (engine, http, reply) =>
    answer(engine, CHAT_STYLE, chatOptions(new Fields(http.body)), reply),
  '/v1/completions': (engine, http, reply) =>
    answer(engine, COMPLETION_STYLE, completionOptions(new Fields(http.body)), reply),
  '/v1/embeddings': (engine, http, reply) => embed(engine, new Fields(http.body), reply),
};

/**
 * OpenAI's API over the models of the repository: chat and completions with models that have `text_input` and
 * `text_output`, embeddings with models that make numbers out of a text.
 */
export function createOpenAiHandler({ engine, restrictions }: OpenAiOptions): HttpHandler {
  return (http, reply) => {
    const path = http.target.split('?', 1)[0] ?? '';
    const header = missingHeader(restrictions, 'inference', (name) => http.header(name));
    try {
      if (header !== undefined) {
        throw new OpenAiError(403, `This API is restricted, expecting header '${header}'`, null, 'restricted');
      }
      const endpoint = ENDPOINTS[path];
      if (!endpoint) {
        reply(modelsReply(engine, path, http.method));
        return undefined;
      }
      if (http.method !== 'POST') throw new OpenAiError(405, `${path} takes POST, got ${http.method}`);
      return endpoint(engine, http, reply);
    } catch (error) {
      reply(errorAnswer(error));
      return undefined;
    }
  };
}

/** `GET /v1/models` and `GET /v1/models/MODEL`. */
function modelsReply(engine: Engine, path: string, method: string): HttpReply {
  const wanted = /^\/v1\/models(?:\/(.+))?$/.exec(path);
  if (!wanted) throw new OpenAiError(404, `unknown path ${path}`, null, 'unknown_url');
  if (method !== 'GET') throw new OpenAiError(405, `${path} takes GET, got ${method}`);
  const names = new Set(
    engine
      .allModels()
      .filter((model) => isLanguageModel(model) || embeddingTensors(model) !== undefined)
      .map((model) => model.name),
  );
  const entry = (id: string): object => ({ id, object: 'model', created: 0, owned_by: 'goodput' });
  const name = wanted[1];
  if (name === undefined) {
    return jsonReply(200, JSON.stringify({ object: 'list', data: [...names].map(entry) }));
  }
  const id = decodeURIComponent(name);
  if (!names.has(id)) throw new OpenAiError(404, `The model '${id}' does not exist`, 'model', 'model_not_found');
  return jsonReply(200, JSON.stringify(entry(id)));
}
