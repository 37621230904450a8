// The probes' pages: what is wrong with the driver, in plain text.

import type { Health, Problems } from './health.ts';
import type { Page, Pages } from '../transport/http.ts';
import { PLAIN_TEXT } from '../transport/http.ts';

/** The probes' pages, by the names that Kubernetes' own components use: 200 `ok`, or 503 with one problem a line. */
export function healthPages({ alive, ready }: Health): Pages {
  const page = (problems: Problems): Page =>
    problems.length === 0
      ? { status: 200, contentType: PLAIN_TEXT, body: 'ok\n' }
      : { status: 503, contentType: PLAIN_TEXT, body: `${problems.map(inOneLine).join('\n')}\n` };
  return { '/healthz': async () => page(await alive()), '/readyz': async () => page(await ready()) };
}

/** What a command said may have several. */
function inOneLine(problem: string): string {
  return problem.replaceAll(/\s*\n\s*/g, ' | ');
}
