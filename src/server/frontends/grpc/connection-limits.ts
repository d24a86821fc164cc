import { constants, type ServerHttp2Session } from 'node:http2';

/** What a connection may do and how it is watched, in milliseconds; 0 switches a rule off. */
export interface ConnectionLimits {
  /** After this long without a message the client is asked whether it is still there. */
  readonly keepaliveTime: number;
  /** How long its answer may take. */
  readonly keepaliveTimeout: number;
  /** Ask also while no call is open. */
  readonly keepaliveWithoutCalls: boolean;
  /** Pings that come sooner than this after one another, without a call, count as bad. */
  readonly minPingInterval: number;
  /** Bad pings after which the connection is closed. */
  readonly maxPingStrikes: number;
  /** A connection is asked to go away after this long, ... */
  readonly maxAge: number;
  /** ... and closed after this much more. */
  readonly maxAgeGrace: number;
}

/** Applies keep-alive, ping and age rules to one connection, as gRPC's own servers do. */
export function limitConnection(session: ServerHttp2Session, limits: ConnectionLimits): void {
  const timers: NodeJS.Timeout[] = [];
  let streams = 0;
  session.on('stream', (stream) => {
    streams++;
    stream.on('close', () => streams--);
  });
  if (limits.keepaliveTime > 0) timers.push(keepAlive(session, limits, () => streams));
  if (limits.maxPingStrikes > 0 && limits.minPingInterval > 0) policePings(session, limits, () => streams);
  if (limits.maxAge > 0) {
    timers.push(
      setTimeout(() => {
        session.close();
        if (limits.maxAgeGrace > 0) timers.push(setTimeout(() => session.destroy(), limits.maxAgeGrace).unref());
      }, limits.maxAge).unref(),
    );
  }
  session.on('close', () => {
    for (const timer of timers) clearTimeout(timer);
  });
}

function keepAlive(session: ServerHttp2Session, limits: ConnectionLimits, streams: () => number): NodeJS.Timeout {
  return setInterval(() => {
    if (session.destroyed || (streams() === 0 && !limits.keepaliveWithoutCalls)) return;
    const timeout = setTimeout(() => session.destroy(), limits.keepaliveTimeout);
    const sent = session.ping(() => clearTimeout(timeout));
    if (!sent) clearTimeout(timeout);
  }, limits.keepaliveTime).unref();
}

/** A client that pings all the time is told to calm down and cut off. */
function policePings(session: ServerHttp2Session, limits: ConnectionLimits, streams: () => number): void {
  let last = 0;
  let strikes = 0;
  session.on('ping', () => {
    const now = performance.now();
    const soon = now - last < limits.minPingInterval && last > 0;
    last = now;
    if (streams() > 0 || !soon) strikes = 0;
    else if (++strikes > limits.maxPingStrikes) {
      session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from('too_many_pings'));
      session.destroy();
    }
  });
}
