import { create, toBinary } from '@bufbuild/protobuf';
import { ServerError, systemClock, toServerError, unsupported } from '../../../core/index.ts';
import {
  type Arrival,
  decodeInferRequest,
  encodeInferResponseFrame,
  grpcFrame,
  type InferenceOutcome,
  type InferenceRequest,
  type InferenceResponse,
  isFinal,
  type ParameterValue,
} from '../../../protocol/index.ts';
import {
  ModelInferResponseSchema,
  ModelStreamInferResponseSchema,
} from '../../../protocol/generated/grpc_service_pb.js';
import { type Engine, sharedMemoryOutputs } from '../../engine/index.ts';
import type { GrpcCall, GrpcReceiver } from './call.ts';

function encode(engine: Engine, request: InferenceRequest, response: InferenceResponse, asStream: boolean): Buffer {
  return encodeInferResponseFrame(response, asStream, sharedMemoryOutputs(engine, request, response));
}

/** A request with what its metadata say: forwarded parameters, and the version that its client is tied to. */
function withMetadata(
  request: InferenceRequest,
  call: GrpcCall,
  forward: RegExp | undefined,
  engine: Engine,
): InferenceRequest {
  const header = engine.stickyHeader(request.modelName);
  const stickiness = header === undefined ? undefined : call.header(header);
  const arrival = engine.tracing ? arrivalOf(call) : undefined;
  if (!forward && stickiness === undefined && !arrival) return request;
  const parameters: Record<string, ParameterValue> = {};
  if (forward) for (const [name, value] of call.headers()) if (forward.test(name)) parameters[name] = value;
  return {
    ...request,
    parameters: { ...parameters, ...request.parameters },
    ...(stickiness === undefined ? {} : { stickiness }),
    ...(arrival ? { arrival } : {}),
  };
}

function arrivalOf(call: GrpcCall): Arrival {
  return {
    protocol: 'GRPC',
    startNs: call.arrivedAt,
    endNs: systemClock.now(),
    traceparent: call.header('traceparent'),
  };
}

/** `ModelInfer`: one request, one response. */
export function modelInfer(engine: Engine, call: GrpcCall, forward: RegExp | undefined): GrpcReceiver {
  let cancel: (() => void) | undefined;
  let started = false;
  const answer = (request: InferenceRequest, outcome: InferenceOutcome): void => {
    switch (outcome.kind) {
      case 'error':
        call.finish(outcome.error);
        return;
      case 'response':
        try {
          call.sendLast(encode(engine, request, outcome.response, false));
        } catch (error) {
          call.finish(toServerError(error));
        }
        return;
      case 'empty-final':
        call.finish();
        return;
      default:
        outcome satisfies never;
    }
  };
  return {
    message(message) {
      if (started) throw new ServerError('INVALID_ARG', 'ModelInfer takes one request message');
      started = true;
      const { request: sent } = decodeInferRequest(message);
      if (engine.model(sent.modelName, sent.modelVersion).decoupled) {
        throw unsupported("ModelInfer RPC doesn't support models with decoupled transaction policy");
      }
      const request = withMetadata(sent, call, forward, engine);
      cancel = engine.infer(request, (outcome) => answer(request, outcome));
    },
    end() {
      if (!started) call.finish(new ServerError('INVALID_ARG', 'ModelInfer was called without a request message'));
    },
    cancel: () => cancel?.(),
  };
}

/**
 * `ModelStreamInfer`: any number of requests, each answered by its responses. An error of one request is a message of
 * the stream, which goes on. Responses of one model come in the order in which its scheduler finishes them.
 */
export function modelStreamInfer(engine: Engine, call: GrpcCall, forward: RegExp | undefined): GrpcReceiver {
  const active = new Map<object, () => void>();
  let ended = false;
  const finishIfDone = (): void => {
    if (ended && active.size === 0) call.finish();
  };
  const sendError = (id: string, error: ServerError): void => {
    const message = create(ModelStreamInferResponseSchema, {
      errorMessage: error.message,
      inferResponse: create(ModelInferResponseSchema, { id }),
    });
    call.send(grpcFrame(toBinary(ModelStreamInferResponseSchema, message)));
  };
  const answer = (request: InferenceRequest, finalMark: boolean, outcome: InferenceOutcome): void => {
    if (outcome.kind === 'empty-final') {
      if (finalMark) call.send(encode(engine, request, emptyFinal(request), true));
    } else if (outcome.kind === 'error') {
      sendError(request.id, outcome.error);
    } else {
      const response = finalMark
        ? { ...outcome.response, parameters: { ...outcome.response.parameters, triton_final_response: outcome.final } }
        : outcome.response;
      try {
        call.send(encode(engine, request, response, true));
      } catch (error) {
        sendError(request.id, toServerError(error));
      }
    }
  };
  return {
    message(message) {
      let id = '';
      try {
        const { request: sent, emptyFinalResponse } = decodeInferRequest(message);
        id = sent.id;
        const request = withMetadata(sent, call, forward, engine);
        const token = {};
        let done = false;
        const cancel = engine.infer(request, (outcome) => {
          answer(request, emptyFinalResponse, outcome);
          if (!isFinal(outcome)) return;
          done = true;
          active.delete(token);
          finishIfDone();
        });
        if (!done) active.set(token, cancel);
      } catch (error) {
        sendError(id, toServerError(error));
      }
    },
    end() {
      ended = true;
      finishIfDone();
    },
    cancel() {
      for (const cancel of active.values()) cancel();
    },
  };
}

/** What tells a client that asked for it that no further response will come. */
function emptyFinal(request: InferenceRequest): InferenceResponse {
  return {
    modelName: request.modelName,
    modelVersion: request.modelVersion,
    id: request.id,
    outputs: [],
    parameters: { triton_final_response: true },
  };
}
