// What vitest's JSON reporter writes, of which only counts and failures matter here.

import { readFile } from 'node:fs/promises';
import { z } from 'zod';

const count = z.number().default(0);
const reportSchema = z.object({
  numPassedTests: count,
  numFailedTests: count,
  numPendingTests: count,
  numTodoTests: count,
  testResults: z
    .array(
      z.object({
        name: z.string().default(''),
        status: z.string().default(''),
        /** Why a file failed as a whole. */
        message: z.string().default(''),
        assertionResults: z
          .array(
            z.object({
              fullName: z.string().default(''),
              status: z.string().default(''),
              failureMessages: z.array(z.string()).nullish(),
            }),
          )
          .default([]),
      }),
    )
    .default([]),
});

export type VitestReport = z.infer<typeof reportSchema>;

const MOST_LETTERS = 300;

/** Nothing was counted where there is no report, and where it was cut short. */
export async function readReport(path: string): Promise<VitestReport> {
  const text = await readFile(path, 'utf8').catch(() => '{}');
  try {
    return reportSchema.parse(JSON.parse(text));
  } catch {
    return reportSchema.parse({});
  }
}

/** Each failed test with the beginning of its reason, a line each; a file that failed outside of a test, too. */
export function failuresIn({ testResults }: VitestReport): readonly string[] {
  return testResults.flatMap(({ name, status, message, assertionResults }) => {
    const failed = assertionResults.filter((one) => one.status === 'failed');
    if (failed.length === 0) return status === 'failed' ? [line(name, message)] : [];
    return failed.map(({ fullName, failureMessages }) => line(fullName, failureMessages?.[0] ?? ''));
  });
}

function line(name: string, reason: string): string {
  return `${name}: ${reason.trim().replaceAll(/\s+/g, ' ').slice(0, MOST_LETTERS)}`;
}
