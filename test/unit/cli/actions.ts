// Actions that do nothing and keep what they were called with.

import { vi } from 'vitest';
import type { Actions } from '../../../src/cli/program.ts';

export function actionsOf() {
  return {
    serve: vi.fn<Actions['serve']>(),
    createPool: vi.fn<Actions['createPool']>(),
    print: vi.fn<Actions['print']>(),
    ended: vi.fn<Actions['ended']>(),
    tree: vi.fn<Actions['tree']>(async () => 0),
    status: vi.fn<Actions['status']>(async () => 0),
    check: vi.fn<Actions['check']>(async () => 1),
    tables: vi.fn<Actions['tables']>(async () => 0),
    restore: vi.fn<Actions['restore']>(async () => 0),
    restores: vi.fn<Actions['restores']>(async () => 0),
    cancel: vi.fn<Actions['cancel']>(async () => 0),
    names: vi.fn<Actions['names']>(async () => 0),
  };
}
