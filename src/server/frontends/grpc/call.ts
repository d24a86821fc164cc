import type { ServerError } from '../../../core/index.ts';

/** One RPC as the service sees it; the transport knows HTTP/2 and message frames, the service protobuf. */
export interface GrpcCall {
  /** When the call began, in nanoseconds of the server's clock. */
  readonly arrivedAt: number;
  /** A metadata value by its lower-case key. */
  header(name: string): string | undefined;
  /** All metadata that the client sent, those of HTTP/2 itself excluded. */
  headers(): Iterable<readonly [string, string]>;
  /** Sends a framed message. */
  send(frame: Uint8Array): void;
  /** Sends the last framed message and ends the call with status OK. */
  sendLast(frame: Uint8Array): void;
  /** Ends the call; without an error the status is OK. */
  finish(error?: ServerError): void;
}

/** What an RPC does with the messages that arrive. */
export interface GrpcReceiver {
  message(message: Buffer): void;
  /** The client has sent its last message. */
  end(): void;
  /** The client has gone away or reset the stream. */
  cancel(): void;
}

/** Starts an RPC; `undefined` for a method that does not exist. */
export type GrpcService = (method: string, call: GrpcCall) => GrpcReceiver | undefined;
