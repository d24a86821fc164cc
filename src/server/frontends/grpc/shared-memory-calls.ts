import * as pb from '../../../protocol/generated/grpc_service_pb.js';
import { cudaMemoryRefusal, type Engine } from '../../engine/index.ts';
import { type Start, unary } from './unary.ts';

/** The shared-memory extension over gRPC. */
export function sharedMemoryMethods(engine: Engine): Record<string, Start> {
  return {
    SystemSharedMemoryStatus: unary(
      pb.SystemSharedMemoryStatusRequestSchema,
      pb.SystemSharedMemoryStatusResponseSchema,
      ({ name }) => ({
        regions: Object.fromEntries(
          engine.sharedMemory
            .status(name)
            .map((region) => [
              region.name,
              { name: region.name, key: region.key, offset: BigInt(region.offset), byteSize: BigInt(region.byteSize) },
            ]),
        ),
      }),
    ),
    SystemSharedMemoryRegister: unary(
      pb.SystemSharedMemoryRegisterRequestSchema,
      pb.SystemSharedMemoryRegisterResponseSchema,
      ({ name, key, offset, byteSize }) => {
        engine.sharedMemory.register({ name, key, offset: Number(offset), byteSize: Number(byteSize) });
        return {};
      },
    ),
    SystemSharedMemoryUnregister: unary(
      pb.SystemSharedMemoryUnregisterRequestSchema,
      pb.SystemSharedMemoryUnregisterResponseSchema,
      ({ name }) => {
        if (name === '') engine.sharedMemory.unregisterAll();
        else engine.sharedMemory.unregister(name);
        return {};
      },
    ),
    CudaSharedMemoryStatus: unary(
      pb.CudaSharedMemoryStatusRequestSchema,
      pb.CudaSharedMemoryStatusResponseSchema,
      () => ({}),
    ),
    CudaSharedMemoryRegister: unary(
      pb.CudaSharedMemoryRegisterRequestSchema,
      pb.CudaSharedMemoryRegisterResponseSchema,
      ({ name }) => {
        throw cudaMemoryRefusal(name);
      },
    ),
    CudaSharedMemoryUnregister: unary(
      pb.CudaSharedMemoryUnregisterRequestSchema,
      pb.CudaSharedMemoryUnregisterResponseSchema,
      () => ({}),
    ),
  };
}
