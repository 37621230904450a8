// Prometheus and promtool, Debian's, unpacked in the cache: for tests of metrics, alerts and dashboard. Nothing is installed
// or started on the machine.

import { join } from 'node:path';
import { cached, hashOf } from './cache.ts';
import { SUITE, unpackDebian } from './image/debian.ts';

export interface Prometheus {
  readonly server: string;
  readonly promtool: string;
}

export const prometheus = async (): Promise<Prometheus> => {
  const packages = ['prometheus'];
  const dir = await cached('prometheus', hashOf(SUITE, ...packages), 'unpacking Prometheus (once)', (path) =>
    unpackDebian(path, 'extract', packages),
  );
  return { server: join(dir, 'usr/bin/prometheus'), promtool: join(dir, 'usr/bin/promtool') };
};
