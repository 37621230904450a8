// ginkgo's JSON report, read: how many specs passed, failed and were skipped, and which. Pure.

import { z } from 'zod';
import { EXPECTED_SKIPS } from './skips.ts';

const report = z.array(
  z.object({
    SpecReports: z.array(
      z.object({
        ContainerHierarchyTexts: z.array(z.string()).nullable(),
        LeafNodeType: z.string(),
        LeafNodeText: z.string(),
        State: z.string(),
        Failure: z.object({ Message: z.string() }).optional(),
      }),
    ),
  }),
);

export interface SanityResult {
  readonly passed: number;
  readonly skipped: number;
  /** Name and message. */
  readonly failures: readonly string[];
  /** Skipped without a reason in skips.ts. */
  readonly unexplained: readonly string[];
}

export function readReport(text: string): SanityResult {
  const specs = report
    .parse(JSON.parse(text))
    .flatMap(({ SpecReports }) => SpecReports)
    .filter(({ LeafNodeType, State }) => LeafNodeType === 'It' || State === 'failed' || State === 'panicked')
    .map((spec) => ({
      name: [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(' '),
      state: spec.State,
      message: spec.Failure?.Message ?? '',
    }));
  const skipped = specs.filter(({ state }) => state === 'skipped' || state === 'pending');
  return {
    passed: specs.filter(({ state }) => state === 'passed').length,
    skipped: skipped.length,
    failures: specs
      .filter(({ state }) => !['passed', 'skipped', 'pending'].includes(state))
      .map(({ name, message }) => `${name}: ${message}`),
    unexplained: skipped
      .filter(({ name }) => !EXPECTED_SKIPS.some(({ spec }) => spec.test(name)))
      .map(({ name }) => name),
  };
}
