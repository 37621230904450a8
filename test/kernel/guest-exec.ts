// The Exec port into a guest: the adapters' logic runs here, their commands there.

import type { Exec } from '../../src/exec.ts';
import type { Guest } from '../vm/guest.ts';

export function guestExec(guest: Guest): Exec {
  return async (argv, options = {}) => {
    const { stdin, signal } = options;
    const result = await guest.exec(argv, {
      env: { LC_ALL: 'C' },
      ...(stdin === undefined ? {} : { stdin }),
      ...(signal === undefined ? {} : { signal }),
    });
    return {
      code: result.code ?? undefined,
      stdout: Buffer.from(result.stdout).toString(),
      stderr: Buffer.from(result.stderr).toString(),
    };
  };
}
