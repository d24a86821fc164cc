import { describeLogSettings, parseLogSettings } from '../../../core/index.ts';
import { describeTraceSettings, traceChangeOfJson } from '../../engine/index.ts';
import { jsonReply } from '../exchange.ts';
import { bodyObject, BOTH, type Route } from './route.ts';

export const LOGGING: Route = {
  api: 'logging',
  methods: BOTH,
  changesState: true,
  handle({ engine, http }) {
    const { logger } = engine.options;
    if (http.method === 'POST') logger.update(parseLogSettings(bodyObject(http)));
    return jsonReply(200, JSON.stringify(describeLogSettings(logger.settings)));
  },
};

/** Of all models, or of the one in the path. */
export const TRACE: Route = {
  api: 'trace',
  methods: BOTH,
  changesState: true,
  handle({ engine, http, name }) {
    const change = http.method === 'POST' ? traceChangeOfJson(bodyObject(http)) : {};
    return jsonReply(200, JSON.stringify(describeTraceSettings(engine.traceSettings(name, change))));
  },
};
