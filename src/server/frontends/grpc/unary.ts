import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { ServerError, toServerError } from '../../../core/index.ts';
import { grpcFrame } from '../../../protocol/index.ts';
import type { GrpcCall, GrpcReceiver } from './call.ts';

export type Start = (call: GrpcCall) => GrpcReceiver;

/** An RPC of one request and one response, by generated code. */
export function unary<In extends DescMessage, Out extends DescMessage>(
  input: In,
  output: Out,
  handle: (request: MessageShape<In>) => MessageInitShape<Out> | Promise<MessageInitShape<Out>>,
): Start {
  return (call) => {
    let seen = false;
    const respond = async (message: Buffer): Promise<void> => {
      try {
        const answer = await handle(parseMessage(input, message));
        call.sendLast(grpcFrame(toBinary(output, create(output, answer))));
      } catch (error) {
        call.finish(toServerError(error));
      }
    };
    return {
      message(message) {
        seen = true;
        void respond(message);
      },
      end() {
        if (!seen) call.finish(new ServerError('INVALID_ARG', 'the call came without a request message'));
      },
      cancel() {},
    };
  };
}

export function parseMessage<In extends DescMessage>(schema: In, message: Buffer): MessageShape<In> {
  try {
    return fromBinary(schema, message);
  } catch (error) {
    throw new ServerError('INVALID_ARG', `malformed ${schema.name} message`, { cause: error });
  }
}

/** The same RPC, whose answer comes later. */
export function delay(start: Start, milliseconds: number): Start {
  const late = (work: () => void): void => void setTimeout(work, milliseconds);
  return (call) =>
    start({
      arrivedAt: call.arrivedAt,
      header: (name) => call.header(name),
      headers: () => call.headers(),
      send: (frame) => late(() => call.send(frame)),
      sendLast: (frame) => late(() => call.sendLast(frame)),
      finish: (error) => late(() => call.finish(error)),
    });
}
