import { DEFAULT_WINDOW, Setting, settingsFrame, windowUpdateFrame } from '../../../../protocol/http2/index.ts';
import { MAX_HEADER_BYTES } from './header-blocks.ts';
import { STREAM_WINDOW } from './stream.ts';

/** Bytes that a client may send on all streams together before it is told that it may send more. */
export const CONNECTION_WINDOW = 16 * 1024 * 1024;

/** Most streams of a connection at a time. */
export const MAX_STREAMS = 10_000;

/** What a server tells its clients first. */
export const GREETING = Buffer.concat([
  settingsFrame(
    new Map([
      [Setting.MAX_CONCURRENT_STREAMS, MAX_STREAMS],
      [Setting.INITIAL_WINDOW_SIZE, STREAM_WINDOW],
      [Setting.MAX_HEADER_LIST_SIZE, MAX_HEADER_BYTES],
    ]),
  ),
  windowUpdateFrame(0, CONNECTION_WINDOW - DEFAULT_WINDOW),
]);
