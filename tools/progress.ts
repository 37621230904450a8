// What a person sees while something takes its time: one line when a step lasts longer than two seconds, a sign of life
// every twenty, and how long it took. Everything goes to standard error, so that output can be piped.

const ANNOUNCE_AFTER_MS = 2_000;
const SIGN_OF_LIFE_MS = 20_000;

export const say = (message: string): void => {
  process.stderr.write(`snapmerge: ${message}\n`);
};

const secondsSince = (startMs: number): string => `${((performance.now() - startMs) / 1000).toFixed(1)} s`;

/** Runs `work` and tells about it if it is not quick. */
export const step = async <T>(label: string, work: () => Promise<T>): Promise<T> => {
  const startMs = performance.now();
  let announced = false;
  let signOfLife: NodeJS.Timeout | undefined;
  const announce = setTimeout(() => {
    announced = true;
    say(`${label} ...`);
    signOfLife = setInterval(() => say(`${label}: ${secondsSince(startMs)} so far`), SIGN_OF_LIFE_MS);
    signOfLife.unref();
  }, ANNOUNCE_AFTER_MS);
  announce.unref();
  try {
    const result = await work();
    if (announced) say(`${label}: ${secondsSince(startMs)}`);
    return result;
  } finally {
    clearTimeout(announce);
    clearInterval(signOfLife);
  }
};
