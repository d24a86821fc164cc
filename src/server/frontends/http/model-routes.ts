import { modelConfigToJson } from '../../../protocol/index.ts';
import { type Engine, modelMetadata, statisticsView } from '../../engine/index.ts';
import { emptyReply, errorReply, type HttpReply, jsonReply, TEXT_TYPE } from '../exchange.ts';
import { GET_ONLY, POST_ONLY, type Route } from './route.ts';
import { BATCHING, TRAFFIC } from './scheduling-routes.ts';
import { TRACE } from './settings-routes.ts';

/** Any method but POST; that is answered elsewhere. */
const GENERATE: Route = {
  api: 'inference',
  methods: POST_ONLY,
  handle: () => errorReply(405, 'Method Not Allowed'),
};

/** What follows a model's name (and version) in a path. */
export const MODEL_ROUTES: Readonly<Record<string, Route>> = {
  '': {
    api: 'metadata',
    methods: GET_ONLY,
    handle({ engine, name, version }) {
      const model = engine.model(name, version);
      return jsonReply(200, JSON.stringify(modelMetadata(model, engine.metadataVersions(model, version))));
    },
  },
  config: {
    api: 'model-config',
    methods: GET_ONLY,
    handle: ({ engine, name, version }) => jsonReply(200, modelConfigToJson(engine.model(name, version).config)),
  },
  ready: {
    api: 'health',
    plain: true,
    methods: GET_ONLY,
    handle: ({ engine, name, version }) =>
      engine.isModelReady(name, version)
        ? emptyReply(200, TEXT_TYPE)
        : errorReply(400, 'Model version not ready', TEXT_TYPE),
  },
  stats: {
    api: 'statistics',
    methods: GET_ONLY,
    handle: ({ engine, name, version }) => statisticsReply(engine, name, version),
  },
  infer: {
    api: 'inference',
    plain: true,
    methods: POST_ONLY,
    handle: () => errorReply(405, 'Method Not Allowed', TEXT_TYPE),
  },
  generate: GENERATE,
  generate_stream: GENERATE,
  traffic: TRAFFIC,
  batching: BATCHING,
  'trace/setting': TRACE,
};

export function statisticsReply(engine: Engine, name: string, version: string): HttpReply {
  const views = engine.modelsForStatistics(name, version).map((model) => {
    return { ...statisticsView(model), memory_usage: [] };
  });
  return jsonReply(200, JSON.stringify({ model_stats: views }));
}
