import {
  DEFAULT_MAX_FRAME,
  DEFAULT_TABLE_BYTES,
  DEFAULT_WINDOW,
  ErrorCode,
  Http2Error,
  MAX_WINDOW,
  Setting,
} from '../../../../protocol/http2/index.ts';

const SETTING_BYTES = 6;
const LARGEST_FRAME = 2 ** 24 - 1;

/** What the other side of a connection has asked for. */
export interface PeerSettings {
  readonly tableBytes: number;
  readonly window: number;
  readonly maxFrame: number;
}

export const DEFAULT_SETTINGS: PeerSettings = {
  tableBytes: DEFAULT_TABLE_BYTES,
  window: DEFAULT_WINDOW,
  maxFrame: DEFAULT_MAX_FRAME,
};

/**
 * Applies a SETTINGS frame to what was asked for before.
 * @throws Http2Error when it is malformed or a value is out of its range
 */
export function applySettings(before: PeerSettings, payload: Buffer): PeerSettings {
  if (payload.length % SETTING_BYTES !== 0) {
    throw new Http2Error(ErrorCode.FRAME_SIZE_ERROR, `a SETTINGS frame cannot have ${payload.length} bytes`);
  }
  let { tableBytes, window, maxFrame } = before;
  for (let offset = 0; offset < payload.length; offset += SETTING_BYTES) {
    const value = payload.readUInt32BE(offset + 2);
    switch (payload.readUInt16BE(offset)) {
      case Setting.HEADER_TABLE_SIZE:
        tableBytes = value;
        break;
      case Setting.ENABLE_PUSH:
        if (value > 1) throw outOfRange('ENABLE_PUSH', value, ErrorCode.PROTOCOL_ERROR);
        break;
      case Setting.INITIAL_WINDOW_SIZE:
        if (value > MAX_WINDOW) throw outOfRange('INITIAL_WINDOW_SIZE', value, ErrorCode.FLOW_CONTROL_ERROR);
        window = value;
        break;
      case Setting.MAX_FRAME_SIZE:
        if (value < DEFAULT_MAX_FRAME || value > LARGEST_FRAME) {
          throw outOfRange('MAX_FRAME_SIZE', value, ErrorCode.PROTOCOL_ERROR);
        }
        maxFrame = value;
        break;
    }
  }
  return { tableBytes, window, maxFrame };
}

function outOfRange(name: string, value: number, code: ErrorCode): Http2Error {
  return new Http2Error(code, `SETTINGS_${name} cannot be ${value}`);
}
