/** What happens to a request that has waited too long. */
export const TIMEOUT_ACTIONS = ['reject', 'delay'] as const;
export type TimeoutAction = (typeof TIMEOUT_ACTIONS)[number];

/** Triton's `ModelQueuePolicy`. */
export interface QueuePolicy {
  /** Most requests that may wait; 0 for no limit by count. */
  readonly maxQueueSize: number;
  /** How long a request may wait; 0 for ever. */
  readonly defaultTimeoutMicros: number;
  /** A request may ask for a shorter time than the default. */
  readonly allowTimeoutOverride: boolean;
  readonly timeoutAction: TimeoutAction;
}

export const UNLIMITED: QueuePolicy = {
  maxQueueSize: 0,
  defaultTimeoutMicros: 0,
  allowTimeoutOverride: false,
  timeoutAction: 'reject',
};

/** The levels of a queue, 1 being served first, and the policy of each. */
export interface QueueOptions {
  /** 0: no levels, all requests are equal. */
  readonly levels: bigint;
  /** For requests without a priority, or with one that is out of range. */
  readonly defaultLevel: bigint;
  readonly defaultPolicy: QueuePolicy;
  readonly policies: ReadonlyMap<bigint, QueuePolicy>;
}

export const PLAIN_QUEUE: QueueOptions = {
  levels: 0n,
  defaultLevel: 0n,
  defaultPolicy: UNLIMITED,
  policies: new Map(),
};
