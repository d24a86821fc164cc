import { invalidArgument } from '../../../core/index.ts';
import { type JsonObject, jsonText } from '../../../protocol/index.ts';
import { cudaMemoryRefusal } from '../../engine/index.ts';
import { emptyReply, JSON_TYPE, jsonReply } from '../exchange.ts';
import { bodyObject, GET_ONLY, POST_ONLY, type Route } from './route.ts';

export const SYSTEM_MEMORY_ROUTES: Readonly<Record<string, Route>> = {
  status: {
    api: 'shared-memory',
    methods: GET_ONLY,
    handle: ({ engine, name }) =>
      jsonReply(
        200,
        JSON.stringify(
          engine.sharedMemory.status(name).map((region) => ({
            name: region.name,
            key: region.key,
            offset: region.offset,
            byte_size: region.byteSize,
          })),
        ),
      ),
  },
  register: {
    api: 'shared-memory',
    methods: POST_ONLY,
    changesState: true,
    handle({ engine, http, name }) {
      if (name === '') throw invalidArgument("'region name' is necessary to register system shared memory region");
      const body = bodyObject(http);
      engine.sharedMemory.register({
        name,
        key: textMember(body, 'key'),
        offset: body['offset'] === undefined ? 0 : sizeMember(body, 'offset'),
        byteSize: sizeMember(body, 'byte_size'),
      });
      return emptyReply(200, JSON_TYPE);
    },
  },
  unregister: {
    api: 'shared-memory',
    methods: POST_ONLY,
    changesState: true,
    handle({ engine, name }) {
      if (name === '') engine.sharedMemory.unregisterAll();
      else engine.sharedMemory.unregister(name);
      return emptyReply(200, JSON_TYPE);
    },
  },
};

export const CUDA_MEMORY_ROUTES: Readonly<Record<string, Route>> = {
  status: { api: 'shared-memory', methods: GET_ONLY, handle: () => jsonReply(200, '[]') },
  register: {
    api: 'shared-memory',
    methods: POST_ONLY,
    changesState: true,
    handle({ name }) {
      throw cudaMemoryRefusal(name);
    },
  },
  unregister: {
    api: 'shared-memory',
    methods: POST_ONLY,
    changesState: true,
    handle: () => emptyReply(200, JSON_TYPE),
  },
};

function textMember(body: JsonObject, name: string): string {
  const value = body[name];
  if (typeof value !== 'string') throw invalidArgument(`'${name}' must be a string, got ${jsonText(value)}`);
  return value;
}

function sizeMember(body: JsonObject, name: string): number {
  const value = body[name];
  if (!Number.isSafeInteger(value) || (value as number) < 0) {
    throw invalidArgument(`'${name}' must be an integer >= 0, got ${jsonText(value)}`);
  }
  return value as number;
}
