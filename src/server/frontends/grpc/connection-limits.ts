import { ErrorCode } from '../../../protocol/http2/index.ts';
import type { Http2Connection } from './http2/index.ts';

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
  private readonly connection: Http2Connection;
  private readonly limits: ConnectionLimits;
  private readonly timers: NodeJS.Timeout[] = [];
  private lastPing = 0;
  private strikes = 0;

  constructor(connection: Http2Connection, limits: ConnectionLimits) {
    this.connection = connection;
    this.limits = limits;
    const { keepaliveTime, maxAge } = limits;
    if (keepaliveTime > 0) this.timers.push(setInterval(() => this.ask(), keepaliveTime).unref());
    if (maxAge > 0) this.timers.push(setTimeout(() => this.retire(), maxAge).unref());
  }

  /** The connection is gone. */
  stop(): void {
    for (const timer of this.timers) clearTimeout(timer);
  }

  /** A call has come: what was pinged before it does not count, as in gRPC's own servers. */
  called(): void {
    this.lastPing = 0;
    this.strikes = 0;
  }

  /** A client that pings all the time is told to calm down and cut off. */
  pinged(): void {
    const { connection, limits } = this;
    if (limits.maxPingStrikes === 0 || limits.minPingInterval === 0) return;
    const now = performance.now();
    const soon = now - this.lastPing < limits.minPingInterval && this.lastPing > 0;
    this.lastPing = now;
    if (connection.active > 0 || !soon) this.strikes = 0;
    else if (++this.strikes > limits.maxPingStrikes) connection.shut(ErrorCode.ENHANCE_YOUR_CALM, 'too_many_pings');
  }

  private ask(): void {
    const { connection, limits } = this;
    if (connection.active === 0 && !limits.keepaliveWithoutCalls) return;
    const timeout = setTimeout(() => connection.destroy(), limits.keepaliveTimeout).unref();
    connection.ping(() => clearTimeout(timeout));
    this.timers.push(timeout);
  }

  private retire(): void {
    const { connection, limits } = this;
    connection.stop();
    if (limits.maxAgeGrace > 0) this.timers.push(setTimeout(() => connection.destroy(), limits.maxAgeGrace).unref());
  }
}
