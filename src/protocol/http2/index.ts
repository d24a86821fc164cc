export * from './constants.ts';
export { FrameReader, type FrameSink } from './frame-reader.ts';
export {
  goawayFrame,
  headersLength,
  pingFrame,
  resetFrame,
  settingsAck,
  settingsFrame,
  windowUpdateFrame,
  writeFrameHead,
  writeHeaders,
} from './frame-writer.ts';
export { type HeaderList, HpackDecoder } from './hpack-decoder.ts';
export { HpackEncoder } from './hpack-encoder.ts';
export { Http2Error } from './http2-error.ts';
