// Parts that live and end together.

/**
 * All run until `signal` fires; where one fails, the others are ended, too. Settles when the last has ended, and rejects with what
 * the first failed with.
 */
export async function together(
  signal: AbortSignal,
  parts: readonly ((signal: AbortSignal) => Promise<void>)[],
): Promise<void> {
  const own = new AbortController();
  const ending = AbortSignal.any([signal, own.signal]);
  const running = parts.map(async (part) => part(ending));
  try {
    await Promise.all(running);
  } finally {
    own.abort();
    await Promise.allSettled(running);
  }
}
