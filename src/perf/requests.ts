import type { DataSet, DataStep } from './input-data.ts';
import type { ModelInfo } from './model-info.ts';
import type { PerfOptions } from './options.ts';
import type { Random } from './random.ts';
import type { RequestEncoder, SequencePlace } from './request.ts';

/** The next request of whoever asks. */
export interface NextRequest {
  readonly parts: readonly Uint8Array[];
  readonly steps: readonly DataStep[];
  readonly sequence: SequencePlace | undefined;
}

/** Where requests come from. A slot's requests are those of one sequence after the other, where there are sequences. */
export interface RequestSource {
  next(slot: number): NextRequest;
}

/** Encoded requests that are kept for the next time. */
const MAX_KEPT_BYTES = 512 * 1024 * 1024;

/** The data's steps in turn, each time a batch of them. */
export function createPlainSource(data: DataSet, batchSize: number, encoder: RequestEncoder): RequestSource {
  const steps = data.streams.flat();
  const kept: (NextRequest | undefined)[] = [];
  let keptBytes = 0;
  let at = 0;
  return {
    next() {
      const index = at;
      at = (at + batchSize) % steps.length;
      const known = kept[index];
      if (known) return known;
      const batch = Array.from({ length: batchSize }, (_, row) => steps[(index + row) % steps.length]).filter(
        (step) => step !== undefined,
      );
      const request = {
        steps: batch,
        sequence: undefined,
        parts: encoder.encode(batch, { id: '', sequence: undefined }),
      };
      const bytes = request.parts.reduce((sum, part) => sum + part.length, 0);
      if (keptBytes + bytes <= MAX_KEPT_BYTES) {
        keptBytes += bytes;
        kept[index] = request;
      }
      return request;
    },
  };
}

/** A sequence that is under way. */
interface OpenSequence {
  readonly id: number;
  readonly stream: readonly DataStep[];
  readonly length: number;
  sent: number;
}

/** Requests of sequences: each slot works on one, and begins another when it is at its end. */
export class SequenceSource implements RequestSource {
  private readonly data: DataSet;
  private readonly encoder: RequestEncoder;
  private readonly options: PerfOptions['sequences'];
  private readonly batchSize: number;
  private readonly random: Random;
  private readonly open = new Map<number, OpenSequence>();
  private readonly inUse = new Set<number>();
  private nextId: number;
  private nextStream = 0;

  constructor(
    data: DataSet,
    encoder: RequestEncoder,
    { sequences, batchSize }: Pick<PerfOptions, 'sequences' | 'batchSize'>,
    random: Random,
  ) {
    this.data = data;
    this.encoder = encoder;
    this.options = sequences;
    this.batchSize = batchSize;
    this.random = random;
    this.nextId = sequences.firstId;
  }

  next(slot: number): NextRequest {
    const sequence = this.open.get(slot) ?? this.begin(slot);
    const { id, stream, length, sent } = sequence;
    const place = { id, start: sent === 0, end: sent === length - 1 };
    const steps = Array.from({ length: this.batchSize }, () => stream[sent % stream.length]).filter(
      (step) => step !== undefined,
    );
    sequence.sent++;
    if (place.end) {
      this.open.delete(slot);
      this.inUse.delete(id);
    }
    return { steps, sequence: place, parts: this.encoder.encode(steps, { id: '', sequence: place }) };
  }

  /** The slots whose sequences have begun and are not at their end. */
  unfinished(): readonly number[] {
    return [...this.open.keys()];
  }

  private begin(slot: number): OpenSequence {
    const { streams, given } = this.data;
    const stream = streams[this.nextStream++ % streams.length] ?? [];
    const { length, lengthGiven, variationPercent } = this.options;
    const varied = Math.round(length * (1 + ((this.random() * 2 - 1) * variationPercent) / 100));
    const sequence = {
      id: this.takeId(),
      stream,
      length: given && !lengthGiven ? stream.length : Math.max(1, varied),
      sent: 0,
    };
    this.open.set(slot, sequence);
    return sequence;
  }

  private takeId(): number {
    const { firstId, endId } = this.options;
    do {
      if (endId !== undefined && this.nextId >= endId) this.nextId = firstId;
      this.nextId++;
    } while (this.inUse.has(this.nextId - 1));
    this.inUse.add(this.nextId - 1);
    return this.nextId - 1;
  }
}

/** Where the requests for a model come from. */
export function createSource(
  model: ModelInfo,
  data: DataSet,
  options: Pick<PerfOptions, 'sequences' | 'batchSize'>,
  encoder: RequestEncoder,
  random: Random,
): RequestSource {
  if (model.scheduler === 'sequence') return new SequenceSource(data, encoder, options, random);
  return createPlainSource(data, options.batchSize, encoder);
}
