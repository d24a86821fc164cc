import { STATIC_LENGTH, STATIC_TABLE } from './static-table.ts';

/** What an entry counts beside the bytes of its name and value (RFC 7541, section 4.1). */
export const ENTRY_OVERHEAD = 32;

interface Entry {
  readonly name: string;
  readonly value: string;
  readonly bytes: number;
}

/** The dynamic table of one direction of a connection, behind the static one. */
export class HpackTable {
  /** The newest entry last. */
  private readonly entries: Entry[] = [];
  private bytes = 0;
  private limit: number;
  /** Counts what has happened to the table: indexes mean the same as long as it is the same. */
  generation = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get length(): number {
    return this.entries.length;
  }

  resize(limit: number): void {
    this.limit = limit;
    this.evict(limit);
  }

  /** Adds an entry; older ones make room, and one that is too large just empties the table. */
  add(name: string, value: string): void {
    const bytes = name.length + value.length + ENTRY_OVERHEAD;
    this.evict(this.limit - bytes);
    if (bytes <= this.limit) {
      this.entries.push({ name, value, bytes });
      this.bytes += bytes;
    }
    this.generation++;
  }

  /** Name and value by index, static entries first; `undefined` where there is none. */
  at(index: number): readonly [name: string, value: string] | undefined {
    if (index <= STATIC_LENGTH) {
      const name = STATIC_TABLE[2 * index - 2];
      return name === undefined ? undefined : [name, STATIC_TABLE[2 * index - 1] ?? ''];
    }
    const entry = this.entries[this.entries.length - (index - STATIC_LENGTH)];
    return entry && [entry.name, entry.value];
  }

  /** Where a field, or else its name alone, is to be found. */
  find(name: string, value: string): { readonly index: number; readonly whole: boolean } {
    let named = 0;
    for (let index = 1; index <= STATIC_LENGTH + this.entries.length; index++) {
      const field = this.at(index);
      if (field?.[0] !== name) continue;
      if (field[1] === value) return { index, whole: true };
      if (named === 0) named = index;
    }
    return { index: named, whole: false };
  }

  private evict(room: number): void {
    while (this.bytes > room && this.entries.length > 0) {
      this.bytes -= this.entries.shift()?.bytes ?? 0;
      this.generation++;
    }
  }
}
