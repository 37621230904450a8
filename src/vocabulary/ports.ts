// The small ports that every part needs: time, randomness, a log. No effects in this file.

export type Fields = Readonly<Record<string, unknown>>;

/** pino's shape: values first, then a message that never varies. */
export interface Log {
  readonly debug: (fields: Fields, message: string) => void;
  readonly info: (fields: Fields, message: string) => void;
  readonly warn: (fields: Fields, message: string) => void;
  readonly error: (fields: Fields, message: string) => void;
  readonly child: (fields: Fields) => Log;
}

export interface Clock {
  /** Unix time in milliseconds: for people and records. It can be set back or forward at any moment. */
  readonly nowMs: () => number;
  /** Milliseconds since some moment: for all that takes time. It only goes up. */
  readonly monotonicMs: () => number;
  /** Resolves after `ms`, or at once when the signal fires. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLog,
};
