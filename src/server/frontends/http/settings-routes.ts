import { describeLogSettings, parseLogSettings } from '../../../core/index.ts';
import { notSupported, TRACE_OFF } from '../../engine/index.ts';
import { jsonReply } from './exchange.ts';
import { bodyObject, BOTH, POST_ONLY, type Route } from './route.ts';

export const LOGGING: Route = {
  methods: BOTH,
  changesState: true,
  handle({ engine, http }) {
    const { logger } = engine.options;
    if (http.method === 'POST') logger.update(parseLogSettings(bodyObject(http)));
    return jsonReply(200, JSON.stringify(describeLogSettings(logger.settings)));
  },
};

/** Tracing can be looked at, and is off; it cannot be switched on. */
export const TRACE: Route = {
  methods: BOTH,
  handle({ http }) {
    if (http.method === 'POST' && Object.keys(bodyObject(http)).length > 0) throw notSupported('tracing');
    return jsonReply(200, JSON.stringify(TRACE_OFF));
  },
};

export const GENERATE: Route = {
  methods: POST_ONLY,
  handle() {
    throw notSupported('the generate extension');
  },
};
