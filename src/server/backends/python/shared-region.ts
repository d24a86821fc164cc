import { closeSync, ftruncateSync, openSync, readSync, statfsSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { errorMessage, type Logger } from '../../../core/index.ts';

/** Pieces start at multiples of this, so that arrays of every type are aligned. */
const ALIGNMENT = 64;

const FIRST_BYTES = 1024 * 1024;

const SHARED_MEMORY = '/dev/shm';

interface Piece {
  offset: number;
  size: number;
}

/** A new file in memory, or in the folder for temporary files where there is no shared memory. */
export function createRegionFile(logger: Logger): { readonly path: string; readonly file: number } {
  const name = `goodput-${process.pid}-${randomUUID()}`;
  try {
    const path = join(SHARED_MEMORY, name);
    return { path, file: openSync(path, 'wx+', 0o600) };
  } catch (error) {
    logger.warn(`no shared memory for Python models (${errorMessage(error)}): files in ${tmpdir()} take its place`);
    const path = join(tmpdir(), name);
    return { path, file: openSync(path, 'wx+', 0o600) };
  }
}

/** A file that one side writes and the other reads; it vanishes when both have closed it. */
class RegionFile {
  readonly path: string;
  protected readonly file: number;
  private closed = false;

  constructor(logger: Logger) {
    const { path, file } = createRegionFile(logger);
    this.path = path;
    this.file = file;
  }

  /** Takes the name away once both sides have the file open: nothing is left behind however they end. */
  unlink(): void {
    unlinkSync(this.path);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    closeSync(this.file);
  }
}

/** The file that the server writes inputs into. The process says which pieces it is done with. */
export class WrittenRegion extends RegionFile {
  private readonly logger: Logger;
  private readonly free: Piece[] = [];
  private readonly used = new Map<number, number>();
  private size = 0;
  private full = false;

  constructor(logger: Logger) {
    super(logger);
    this.logger = logger;
  }

  /**
   * Copies bytes into the file.
   * @returns where they are; `undefined` when there is no memory for them, so that they go another way
   */
  write(data: Uint8Array): number | undefined {
    const size = Math.ceil(data.length / ALIGNMENT) * ALIGNMENT;
    try {
      const offset = this.take(size) ?? this.grow(size);
      writeSync(this.file, data, 0, data.length, offset);
      this.used.set(offset, size);
      this.full = false;
      return offset;
    } catch (error) {
      if (!this.full) this.logger.warn(fullMessage(errorMessage(error), data.length));
      this.full = true;
      return undefined;
    }
  }

  release(offsets: readonly number[]): void {
    for (const offset of offsets) {
      const size = this.used.get(offset);
      this.used.delete(offset);
      if (size !== undefined) this.giveBack({ offset, size });
    }
  }

  private take(size: number): number | undefined {
    const index = this.free.findIndex((piece) => piece.size >= size);
    const piece = this.free[index];
    if (!piece) return undefined;
    const { offset } = piece;
    piece.offset += size;
    piece.size -= size;
    if (piece.size === 0) this.free.splice(index, 1);
    return offset;
  }

  private grow(size: number): number {
    const offset = this.size;
    const grown = Math.max(size, this.size, FIRST_BYTES);
    ftruncateSync(this.file, offset + grown);
    this.size += grown;
    if (grown > size) this.giveBack({ offset: offset + size, size: grown - size });
    return offset;
  }

  private giveBack(piece: Piece): void {
    let index = this.free.findIndex(({ offset }) => offset > piece.offset);
    if (index < 0) index = this.free.length;
    const [before, after] = [this.free[index - 1], this.free[index]];
    if (after && piece.offset + piece.size === after.offset) {
      piece.size += after.size;
      this.free.splice(index, 1);
    }
    if (before && before.offset + before.size === piece.offset) before.size += piece.size;
    else this.free.splice(index, 0, piece);
  }
}

/** The file that the process writes outputs into. */
export class ReadRegion extends RegionFile {
  /** A copy of a piece. */
  read(offset: number, length: number): Buffer {
    const data = Buffer.allocUnsafe(length);
    let have = 0;
    while (have < length) {
      const count = readSync(this.file, data, have, length - have, offset + have);
      if (count === 0) throw new Error(`shared memory ends at ${offset + have}, ${length - have} bytes are missing`);
      have += count;
    }
    return data;
  }
}

function fullMessage(reason: string, bytes: number): string {
  let room = '';
  try {
    const { bsize, blocks } = statfsSync(SHARED_MEMORY);
    room = ` ${SHARED_MEMORY} has ${Math.round((bsize * blocks) / 2 ** 20)} MiB in all (docker run --shm-size makes it larger).`;
  } catch {
    // There is no shared memory here.
  }
  return `no shared memory for ${bytes} bytes of a Python model's input (${reason}).${room} Such tensors go over a socket, which is slower`;
}
