import { create, toBinary } from '@bufbuild/protobuf';
import { ServerError, toServerError } from '../../../core/index.ts';
import {
  decodeInferRequest,
  encodeInferResponseFrame,
  grpcFrame,
  type InferenceOutcome,
  type InferenceRequest,
  type InferenceResponse,
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

/** `ModelInfer`: one request, one response. */
export function modelInfer(engine: Engine, call: GrpcCall): GrpcReceiver {
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
      const { request } = decodeInferRequest(message);
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
export function modelStreamInfer(engine: Engine, call: GrpcCall): GrpcReceiver {
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
    if (outcome.kind === 'error') {
      sendError(request.id, outcome.error);
    } else if (outcome.kind === 'response') {
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
        const { request, emptyFinalResponse } = decodeInferRequest(message);
        id = request.id;
        const token = {};
        let done = false;
        const cancel = engine.infer(request, (outcome) => {
          answer(request, emptyFinalResponse, outcome);
          if (outcome.kind !== 'empty-final' && !outcome.final) return;
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
