/**
 * How the main thread tells a worker what to do: a ring of integers in shared memory. The worker sleeps on the write
 * counter (a futex), which costs half of what waking its event loop would. An entry is the id of a slot to run, or
 * {@link MESSAGE}: the next message on the port says the rest.
 */
const ENTRIES = 1024;

/** The entry that stands for a message on the port. */
export const MESSAGE = -1;

const WRITTEN = 0;
const READ = 1;
const HEAD = 2;

export function createRingBuffer(): SharedArrayBuffer {
  return new SharedArrayBuffer((HEAD + ENTRIES) * Int32Array.BYTES_PER_ELEMENT);
}

/** The main thread's end. */
export class RingWriter {
  private readonly cells: Int32Array;
  private written = 0;

  constructor(buffer: SharedArrayBuffer) {
    this.cells = new Int32Array(buffer);
  }

  /** Adds an entry; false when the worker is a whole ring behind. */
  write(entry: number): boolean {
    if (((this.written - Atomics.load(this.cells, READ)) | 0) >= ENTRIES) return false;
    this.cells[HEAD + (this.written & (ENTRIES - 1))] = entry;
    this.written = (this.written + 1) | 0;
    Atomics.store(this.cells, WRITTEN, this.written);
    Atomics.notify(this.cells, WRITTEN, 1);
    return true;
  }
}

/** The worker's end. */
export class RingReader {
  private readonly cells: Int32Array;
  private next = 0;

  constructor(buffer: SharedArrayBuffer) {
    this.cells = new Int32Array(buffer);
  }

  /** The next entry; sleeps until there is one. */
  read(): number {
    // The writer may be interrupted between its store and its notification: then that wakes a reader which has read
    // the entry already, and there is nothing new.
    while (Atomics.load(this.cells, WRITTEN) === this.next) Atomics.wait(this.cells, WRITTEN, this.next);
    const entry = this.cells[HEAD + (this.next & (ENTRIES - 1))] ?? MESSAGE;
    this.next = (this.next + 1) | 0;
    Atomics.store(this.cells, READ, this.next);
    return entry;
  }
}
