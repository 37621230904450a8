// What a person sees while something takes its time: one line when a step lasts longer than two seconds, a sign of life
// every twenty, how long it took, and how long the last time. Everything goes to standard error, so that output can be piped.

import { lastTime, remember } from './durations.ts';

const ANNOUNCE_AFTER_MS = 2_000;
const SIGN_OF_LIFE_MS = 20_000;

export const say = (message: string): void => {
  process.stderr.write(`snapmerge: ${message}\n`);
};

const secondsSince = (startMs: number): number => (performance.now() - startMs) / 1000;

/** Runs `work` and tells about it if it is not quick. */
export const step = async <T>(label: string, work: () => Promise<T>): Promise<T> => {
  const startMs = performance.now();
  let announced = false;
  let signOfLife: NodeJS.Timeout | undefined;
  const announce = setTimeout(() => {
    announced = true;
    const last = lastTime(label);
    say(`${label} ...${last}`);
    const tell = (): void => say(`${label}: ${secondsSince(startMs).toFixed(0)} s so far${last}`);
    signOfLife = setInterval(tell, SIGN_OF_LIFE_MS);
    signOfLife.unref();
  }, ANNOUNCE_AFTER_MS);
  announce.unref();
  try {
    const result = await work();
    if (announced) {
      const seconds = secondsSince(startMs);
      say(`${label}: ${seconds.toFixed(1)} s`);
      remember(label, seconds);
    }
    return result;
  } finally {
    clearTimeout(announce);
    clearInterval(signOfLife);
  }
};
