// One process owns a pool: what a second driver, and whoever makes pools, hear and leave alone. With the real processes.

import { expect, test } from 'vitest';
import type { Workload } from './workload.ts';
import { LIMIT_MS } from './workload.ts';

const CONFIG = '/etc/snapmerge/config.yaml';
const OTHER = '/run/other-driver/csi.sock';
const SECOND_LIMIT_S = 240;
const OWNED = /it(s pool)? is owned by 'snapmerge serve' \(process \d+ on \S+, since \d{4}-\d\d-\d\dT[\d:]{8}Z\)/;

export function ownerTests(scene: () => { readonly w: Workload }): void {
  test('a second driver says who owns the pool, changes nothing, and ends', { timeout: LIMIT_MS }, async () => {
    const { w } = scene();
    // Published, and not opened by its pod: nothing but its staging speaks for its device.
    const raw = await w.volume('raw', { mib: 16, access: 'block' });
    const device = await w.use(raw, { access: 'block' });
    await w.random(device, 16);
    await w.snapshot('of raw', raw);
    const holds = await w.rawSum(device);
    const look = `dmsetup info -c --noheadings -o name,uuid,major,minor,events | sort
      vgs --noheadings -o vg_seqno pool`;
    const before = await w.sh(look);

    // The same configuration: the socket is taken.
    const same = await w.sh(`code=0; timeout -k 10 ${SECOND_LIMIT_S} snapmerge serve --config ${CONFIG} 2>&1 || code=$?
      echo "code $code"`);
    expect(same).toMatch(OWNED);
    expect(same).toMatch(/another process serves there;.*\ncode 1\n$/);

    // Another socket: it waits, serves nothing, says who has the pool, and a signal ends it.
    const other = await w.sh(`snapmerge serve --config ${CONFIG} --socket ${OTHER} >/tmp/second.log 2>&1 & second=$!
      until grep -q 'is owned by' /tmp/second.log; do kill -0 $second; sleep 0.2; done
      test ! -e ${OTHER}
      kill -TERM $second; code=0; wait $second || code=$?
      cat /tmp/second.log; echo "code $code"`);
    expect(other).toMatch(OWNED);
    expect(other).toMatch(/"msg":"ended"}\ncode 0\n$/);

    const made = await w.sh('snapmerge pool create again --volume-group pool /dev/vde 2>&1 || echo "code $?"');
    expect(made).toMatch(OWNED);
    expect(made).toMatch(/code [12]\n$/);

    const byHand = await w.sh('snapmerge tables --remove >/tmp/remove; bash </tmp/remove 2>&1 || true');
    expect(byHand).toContain("STOP: a driver owns volume group 'pool'");

    expect(await w.sh(look)).toBe(before);
    expect(await w.rawSum(device)).toBe(holds);

    // The kernel gives the claim up with the process, however that ends.
    await w.killDriver();
    expect(await w.sh('dmsetup ls | grep ^snapmerge.lock-')).toMatch(/^snapmerge\.lock-pool@serve@\d+@/);
    expect(await w.rawSum(device)).toBe(holds);
    await w.leave(raw);
  });
}
