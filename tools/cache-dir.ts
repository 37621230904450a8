// Where everything is that is built or downloaded.

import { homedir } from 'node:os';
import { join } from 'node:path';

export const cacheDir = (): string =>
  process.env['SNAPMERGE_CACHE'] ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'snapmerge');
