import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { failuresIn, readReport } from '../../../tools/test/vitest-report.ts';

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vitest-report-'));
});
afterAll(() => rm(dir, { recursive: true }));

async function reportOf(text: string) {
  const path = join(dir, 'report.json');
  await writeFile(path, text);
  return readReport(path);
}

test('a failed test is named, with the beginning of its reason in one line', async () => {
  const report = await reportOf(
    JSON.stringify({
      numPassedTests: 1,
      numFailedTests: 1,
      numPendingTests: 2,
      testResults: [
        {
          name: 'test/a.test.ts',
          status: 'failed',
          message: '',
          assertionResults: [
            { fullName: 'a works', status: 'passed', failureMessages: [] },
            { fullName: 'a fails', status: 'failed', failureMessages: ['Error: expected 1\n    to be 2', 'more'] },
          ],
        },
      ],
    }),
  );
  expect([report.numPassedTests, report.numFailedTests, report.numPendingTests]).toEqual([1, 1, 2]);
  expect(failuresIn(report)).toEqual(['a fails: Error: expected 1 to be 2']);
});

test('a file that fails outside of a test is named', async () => {
  const report = await reportOf(
    JSON.stringify({
      testResults: [{ name: 'test/b.test.ts', status: 'failed', message: 'Cannot import', assertionResults: [] }],
    }),
  );
  expect(failuresIn(report)).toEqual(['test/b.test.ts: Cannot import']);
});

test('what is cut short or not there counts nothing', async () => {
  for (const report of [await reportOf('{"numPassedTests": 3'), await readReport(join(dir, 'none.json'))]) {
    expect([report.numPassedTests, failuresIn(report)]).toEqual([0, []]);
  }
});
