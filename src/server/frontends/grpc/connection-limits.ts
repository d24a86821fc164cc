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
export class ConnectionWatch {
  private readonly session: ServerHttp2Session;
  private readonly limits: ConnectionLimits;
  private readonly timers: NodeJS.Timeout[] = [];
  private lastPing = 0;
  private strikes = 0;
  /** Calls in progress: counted by whoever opens and closes them. */
  calls = 0;

  constructor(session: ServerHttp2Session, limits: ConnectionLimits) {
    this.session = session;
    this.limits = limits;
    const { keepaliveTime, maxPingStrikes, minPingInterval, maxAge } = limits;
    if (keepaliveTime > 0) this.timers.push(setInterval(() => this.ask(), keepaliveTime));
    if (maxPingStrikes > 0 && minPingInterval > 0) session.on('ping', () => this.pinged());
    if (maxAge > 0) this.timers.push(setTimeout(() => this.retire(), maxAge));
    for (const timer of this.timers) timer.unref();
    session.on('close', () => {
      for (const timer of this.timers) clearTimeout(timer);
    });
  }

  private ask(): void {
    const { session, limits } = this;
    if (session.destroyed || (this.calls === 0 && !limits.keepaliveWithoutCalls)) return;
    const timeout = setTimeout(() => session.destroy(), limits.keepaliveTimeout);
    const sent = session.ping(() => clearTimeout(timeout));
    if (!sent) clearTimeout(timeout);
  }

  /** A client that pings all the time is told to calm down and cut off. */
  private pinged(): void {
    const { session, limits } = this;
    const now = performance.now();
    const soon = now - this.lastPing < limits.minPingInterval && this.lastPing > 0;
    this.lastPing = now;
    if (this.calls > 0 || !soon) this.strikes = 0;
    else if (++this.strikes > limits.maxPingStrikes) {
      session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from('too_many_pings'));
      session.destroy();
    }
  }

  private retire(): void {
    const { session, limits } = this;
    session.close();
    if (limits.maxAgeGrace > 0) this.timers.push(setTimeout(() => session.destroy(), limits.maxAgeGrace).unref());
  }
}
