import { invalidArgument } from '../../../core/index.ts';
import { isJsonObject, jsonText } from '../../../protocol/index.ts';
import { batchingView } from '../../engine/index.ts';
import { jsonReply } from '../exchange.ts';
import { bodyObject, BOTH, type Call, GET_ONLY, type Route } from './route.ts';

/** Why the batches of a model had the sizes they had. Goodput only. */
export const BATCHING: Route = {
  api: 'statistics',
  methods: GET_ONLY,
  handle: ({ engine, name, version }) => jsonReply(200, JSON.stringify(batchingView(engine.model(name, version)))),
};

/**
 * How requests without a version are shared out between the versions of a model, in percent. An empty object gives
 * them all to the newest version again. Goodput only.
 */
export const TRAFFIC: Route = {
  api: 'model-repository',
  methods: BOTH,
  changesState: true,
  handle(call) {
    const { engine, http, name } = call;
    engine.model(name, '');
    if (http.method === 'POST') setTraffic(call);
    const split = engine.traffic(name);
    return jsonReply(
      200,
      JSON.stringify({
        percent: Object.fromEntries(split?.percent ?? []),
        ...(split?.stickyHeader === undefined ? {} : { sticky_header: split.stickyHeader }),
      }),
    );
  },
};

function setTraffic({ engine, http, name }: Call): void {
  const { percent = {}, sticky_header: stickyHeader } = bodyObject(http);
  if (!isJsonObject(percent)) throw invalidArgument("'percent' must be an object of version: percent");
  if (stickyHeader !== undefined && (typeof stickyHeader !== 'string' || stickyHeader === '')) {
    throw invalidArgument("'sticky_header' must be the name of a header");
  }
  const shares = new Map<number, number>();
  for (const [version, share] of Object.entries(percent)) {
    if (!/^[1-9]\d*$/.test(version)) throw invalidArgument(`'percent' has '${version}', which is not a version`);
    if (typeof share !== 'number') {
      throw invalidArgument(`'percent' of version ${version} must be a number, got ${jsonText(share)}`);
    }
    shares.set(Number(version), share);
  }
  engine.setTraffic(name, shares, stickyHeader);
}
