import type { RequestHead } from './request-head.ts';
import type { Http2Stream, StreamHandler } from './stream.ts';

/** What is told of a connection, and decided for it. */
export interface ConnectionEvents {
  /** A request has come; its handler gets what follows. */
  request(stream: Http2Stream, head: RequestHead): StreamHandler;
  /** The client asks whether the server is there. */
  pinged(): void;
  /** The client broke the protocol, or its request could not be handled. */
  broken(error: unknown): void;
  closed(): void;
}
