// How tests run: no retries, because one that passes the second time has found something, and limits for machines that
// are slow and busy with guests. What takes longer names its own.

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    retry: 0,
  },
});
