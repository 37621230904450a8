import { describe, expect, test } from 'vitest';
import type { ErrorKind } from '../../../../src/vocabulary/errors.ts';
import { decide } from '../../../../src/kubernetes/restores/decide.ts';
import type { Decision, Seen } from '../../../../src/kubernetes/restores/decide.ts';
import type { Condition, Status } from '../../../../src/kubernetes/api/objects.ts';
import { fails, waits } from '../../../../src/kubernetes/restores/reasons.ts';
import { NOW, here, objectOf, restoreOf, seenOf } from '../object.ts';

const NOTHING: Decision = { status: undefined, finalizer: undefined, act: undefined, againMs: undefined };
const STARTED = '2030-01-01T11:59:30Z';
const LONG_AGO = '2030-01-01T11:00:00Z';
const BEGUN: Condition = {
  type: 'Begun',
  status: 'True',
  reason: 'Begun',
  message: '',
  lastTransitionTime: STARTED,
};
const ASKED: Status = { phase: 'Waiting', reason: 'Beginning', node: 'a', startTime: STARTED, askedTime: STARTED };
const MERGING: Status = { ...ASKED, phase: 'Merging', reason: 'Merging', conditions: [BEGUN] };

/** What is decided, in short. */
function inShort(seen: Seen) {
  const { status, finalizer, act, againMs } = decide(seen);
  const said = status === undefined ? 'as it was' : `${status.phase}/${status.reason}`;
  return [said, finalizer, act, againMs];
}

describe('over', () => {
  test.each(['Succeeded', 'Failed'] as const)('%s and let go: nothing', (phase) => {
    expect(decide(seenOf(objectOf({ status: { phase } }), here()))).toEqual(NOTHING);
    expect(decide(seenOf(objectOf({ status: { phase }, leaving: true }), here()))).toEqual(NOTHING);
  });

  test('held: what follows, or what a first try left, and then it is let go', () => {
    const succeeded = objectOf({ status: { ...MERGING, phase: 'Succeeded' }, held: true });
    expect(inShort(seenOf(succeeded, here()))).toEqual(['as it was', undefined, 'follow-up', undefined]);
    expect(inShort(seenOf(succeeded, here(), { followed: 'done' }))).toEqual([
      'as it was',
      false,
      undefined,
      undefined,
    ]);
    expect(inShort(seenOf(succeeded, here(), { followed: 'failed' }))).toEqual([
      'as it was',
      undefined,
      undefined,
      10_000,
    ]);
    const failed = objectOf({ status: { ...ASKED, phase: 'Failed' }, held: true });
    expect(inShort(seenOf(failed, here()))).toEqual(['as it was', false, undefined, undefined]);
  });

  test('deletion waits for nothing that fails', () => {
    const leaving = objectOf({ status: MERGING, held: true, leaving: true });
    const sight = here({ known: restoreOf() });
    expect(inShort(seenOf(leaving, sight))).toEqual(['as it was', undefined, 'follow-up', undefined]);
    expect(inShort(seenOf(leaving, sight, { followed: 'failed' }))).toEqual(['as it was', false, undefined, undefined]);
  });
});

describe('nobody knows where', () => {
  const problem = waits('ClaimNotFound', 'There is none');

  test('it says why, and looks again', () => {
    expect(inShort(seenOf(objectOf(), { at: 'unknown', problem }))).toEqual([
      'Waiting/ClaimNotFound',
      undefined,
      undefined,
      10_000,
    ]);
  });

  test('the pause ends with the time it has', () => {
    const object = objectOf({ spec: { timeoutSeconds: 33 }, status: { startTime: STARTED } });
    expect(decide(seenOf(object, { at: 'unknown', problem })).againMs).toBe(3000);
  });

  test('what will never be right has failed, and so has what is too late', () => {
    const wrong = fails('WrongDriver', 'Not ours');
    expect(inShort(seenOf(objectOf(), { at: 'unknown', problem: wrong }))).toEqual([
      'Failed/WrongDriver',
      undefined,
      undefined,
      undefined,
    ]);
    const late = seenOf(objectOf({ status: { startTime: LONG_AGO } }), { at: 'unknown', problem });
    expect(inShort(late)).toEqual(['Failed/TimedOut', undefined, undefined, undefined]);
    expect(decide(late).status?.message).toBe('It has not begun within 600 s. ClaimNotFound: There is none');
  });

  test('on activation it is never too late', () => {
    const object = objectOf({ spec: { mode: 'OnActivate' }, status: { startTime: LONG_AGO } });
    expect(inShort(seenOf(object, { at: 'unknown', problem }))[0]).toBe('Waiting/ClaimNotFound');
  });

  test('at once is at once', () => {
    const object = objectOf({ spec: { timeoutSeconds: 0 } });
    expect(inShort(seenOf(object, { at: 'unknown', problem }))[0]).toBe('Failed/TimedOut');
  });

  test('deleted, or asked of a node: nothing', () => {
    expect(decide(seenOf(objectOf({ leaving: true }), { at: 'unknown', problem }))).toEqual(NOTHING);
    expect(decide(seenOf(objectOf({ status: ASKED, held: true }), { at: 'unknown', problem }))).toEqual(NOTHING);
  });

  test('held by none, as it comes back from an export: it is as good as new, and can be deleted', () => {
    expect(inShort(seenOf(objectOf({ held: true }), { at: 'unknown', problem }))).toEqual([
      'Waiting/ClaimNotFound',
      undefined,
      undefined,
      10_000,
    ]);
    const leaving = objectOf({ held: true, leaving: true });
    expect(inShort(seenOf(leaving, { at: 'unknown', problem }))).toEqual(['as it was', false, undefined, undefined]);
  });
});

describe('on another node', () => {
  const away = { at: 'elsewhere', node: 'b', exists: true } as const;
  const gone = { ...away, exists: false };

  test('it is that node that works on it, also when it is deleted', () => {
    expect(inShort(seenOf(objectOf(), away))).toEqual(['as it was', undefined, undefined, 300_000]);
    expect(inShort(seenOf(objectOf({ held: true, leaving: true }), away))).toEqual([
      'as it was',
      undefined,
      undefined,
      30_000,
    ]);
  });

  test('which is gone: said, and let go when it is deleted or over', () => {
    expect(inShort(seenOf(objectOf(), gone))).toEqual(['Waiting/NodeGone', undefined, undefined, 10_000]);
    expect(inShort(seenOf(objectOf({ held: true, leaving: true }), gone))[1]).toBe(false);
    const over = objectOf({ held: true, status: { phase: 'Failed' } });
    expect(inShort(seenOf(over, gone))).toEqual(['as it was', false, undefined, undefined]);
  });

  test('what it has noted is not given up: it would still do it', () => {
    const late = { status: { ...ASKED, startTime: LONG_AGO } };
    expect(inShort(seenOf(objectOf({ ...late, held: true }), gone))[0]).toBe('Waiting/NodeGone');
    expect(inShort(seenOf(objectOf(late), gone))[0]).toBe('Failed/TimedOut');
  });

  test('what has begun stays in its phase', () => {
    const { status } = decide(seenOf(objectOf({ status: MERGING, held: true }), gone));
    expect([status?.phase, status?.reason]).toEqual(['Merging', 'NodeGone']);
    expect(status?.conditions?.[0]).toEqual(BEGUN);
  });
});

describe('being deleted', () => {
  const leaving = objectOf({ status: ASKED, held: true, leaving: true });

  test('what waits is taken back', () => {
    const sight = here({ known: restoreOf({ phase: 'waiting' }) });
    expect(inShort(seenOf(leaving, sight))).toEqual(['as it was', undefined, 'cancel', 2000]);
  });

  test('what has begun goes on without it', () => {
    for (const phase of ['merging', 'failed', 'done'] as const) {
      const sight = here({ known: restoreOf({ phase }) });
      expect(inShort(seenOf(leaving, sight))[2]).toBe('follow-up');
      expect(inShort(seenOf(leaving, sight, { followed: 'done' }))[1]).toBe(false);
    }
    const forgotten = objectOf({ status: MERGING, held: true, leaving: true });
    expect(inShort(seenOf(forgotten, here()))[2]).toBe('follow-up');
  });

  test('what was never begun leaves nothing', () => {
    expect(inShort(seenOf(leaving, here()))).toEqual(['as it was', false, undefined, undefined]);
    const missing = here({ problem: waits('PoolMissing', 'No pool') });
    expect(inShort(seenOf(leaving, missing))[1]).toBe(false);
  });

  test.each(['PoolUnavailable', 'NodeError'] as const)('%s: it waits, and says so', (reason) => {
    const { status, finalizer } = decide(seenOf(leaving, here({ problem: waits(reason, 'It does not answer') })));
    expect(finalizer).toBeUndefined();
    expect(status).toMatchObject({
      reason,
      message: 'It is deleted when the node can take it back: It does not answer',
    });
  });
});

describe('the node knows it', () => {
  test('merging: the status first, then what follows, then it is let go', () => {
    const sight = here({ known: restoreOf() });
    const held = objectOf({ status: ASKED, held: true });
    expect(inShort(seenOf(held, sight))).toEqual(['Merging/Merging', undefined, 'follow-up', 10_000]);
    expect(inShort(seenOf(held, sight, { followed: 'done' }))).toEqual(['Merging/Merging', false, undefined, 2000]);
    expect(inShort(seenOf(held, sight, { followed: 'failed' }))).toEqual([
      'Merging/Merging',
      undefined,
      undefined,
      2000,
    ]);
    expect(inShort(seenOf(objectOf({ status: MERGING }), sight))).toEqual([
      'Merging/Merging',
      undefined,
      undefined,
      2000,
    ]);
  });

  test('done', () => {
    const sight = here({ known: restoreOf({ phase: 'done', endedMs: NOW }) });
    expect(inShort(seenOf(objectOf({ status: MERGING }), sight))).toEqual([
      'Succeeded/Merged',
      undefined,
      undefined,
      undefined,
    ]);
    const held = objectOf({ status: MERGING, held: true });
    expect(inShort(seenOf(held, sight, { followed: 'failed' }))[3]).toBe(10_000);
    expect(inShort(seenOf(held, sight, { followed: 'done' }))).toEqual([
      'Succeeded/Merged',
      false,
      undefined,
      undefined,
    ]);
  });

  test('stuck is no end', () => {
    const sight = here({ known: restoreOf({ phase: 'failed', message: 'Merge failed' }) });
    const { status } = decide(seenOf(objectOf({ status: MERGING }), sight));
    expect(status).toMatchObject({
      phase: 'Merging',
      reason: 'MergeStuck',
      message: "Merge failed; see 'snapmerge status' on node 'a'",
    });
  });

  test('a promotion says whose volume has been given up', () => {
    const spec = { mode: 'NameSnapshot' };
    const say = (status: Status, known = restoreOf()) =>
      decide(seenOf(objectOf({ spec, status }), here({ known }))).status?.message;
    expect(say({ originClaimName: 'old' })).toBe(
      "The volume goes on as it is; it is moved onto the storage of its origin. The volume of claim 'old' has been given up",
    );
    expect(say({}, restoreOf({ phase: 'done' }))).toBe(
      'All has been moved. The volume of its origin has been given up',
    );
  });

  test('noted for the next staging', () => {
    const object = objectOf({ spec: { mode: 'OnActivate' }, status: { ...ASKED, startTime: LONG_AGO }, held: true });
    const known = restoreOf({ phase: 'waiting' });
    expect(inShort(seenOf(object, here({ known })))).toEqual([
      'Waiting/WaitsForActivation',
      undefined,
      undefined,
      5000,
    ]);
    const { status } = decide(seenOf(object, here({ known, pods: ['p1', 'p2'] })));
    expect(status?.blockingPods).toEqual(['p1', 'p2']);
    expect(status?.message).toBe(
      "It begins when the volume is next staged on node 'a', before a pod gets it; now it is used by 'p1', 'p2'",
    );
  });

  test('queued, and taken back when it is too late', () => {
    const known = restoreOf({ phase: 'waiting', message: 'Another merges' });
    const { status } = decide(seenOf(objectOf({ status: ASKED, held: true }), here({ known })));
    expect(status).toMatchObject({ phase: 'Waiting', reason: 'Queued', message: 'Another merges' });
    const late = objectOf({ status: { ...ASKED, startTime: LONG_AGO }, held: true });
    expect(inShort(seenOf(late, here({ known })))).toEqual(['as it was', undefined, 'cancel', 2000]);
  });
});

describe('the node does not know it', () => {
  test('what is asked is written before it is asked', () => {
    const { status, finalizer, act, againMs } = decide(seenOf(objectOf(), here({ originClaimName: 'old' })));
    expect([finalizer, act, againMs]).toEqual([true, undefined, 0]);
    expect(status).toMatchObject({
      phase: 'Waiting',
      reason: 'Beginning',
      node: 'a',
      restoreID: 'default.AbCdEf.r-0000000001',
      originClaimName: 'old',
      startTime: '2030-01-01T12:00:00Z',
    });
    // Rounded up, so that what began within the second before is not taken for later.
    const { status: later } = decide(seenOf(objectOf(), here(), { nowMs: NOW + 1 }));
    expect(later?.askedTime).toBe('2030-01-01T12:00:01Z');
    // Held and not asked, or asked and not held: once more.
    expect(inShort(seenOf(objectOf({ status: ASKED }), here()))).toEqual(['Waiting/Beginning', true, undefined, 0]);
    expect(inShort(seenOf(objectOf({ held: true }), here()))).toEqual(['Waiting/Beginning', true, undefined, 0]);
  });

  test('then it is asked', () => {
    expect(inShort(seenOf(objectOf({ status: ASKED, held: true }), here()))).toEqual([
      'as it was',
      undefined,
      'start',
      2000,
    ]);
  });

  test('it has begun: a later one has taken its place', () => {
    const merging = objectOf({ status: MERGING });
    const { status } = decide(seenOf(merging, here()));
    expect(status).toMatchObject({ phase: 'Succeeded', completionTime: '2030-01-01T12:00:00Z' });
    const gone = here({ problem: fails('VolumeGone', 'No volume') });
    expect(inShort(seenOf(merging, gone))[0]).toBe('Failed/VolumeGone');
    // What cannot be read now is no reason to say anything.
    const away = here({ problem: waits('PoolUnavailable', 'It does not answer') });
    expect(inShort(seenOf(merging, away))).toEqual(['Merging/PoolUnavailable', undefined, undefined, 5000]);
  });

  test.each(['WaitsForActivation', 'Queued'] as const)('it was %s: taken back by somebody', (reason) => {
    const noted = objectOf({ status: { ...ASKED, reason }, held: true });
    expect(inShort(seenOf(noted, here()))).toEqual(['Failed/Cancelled', undefined, undefined, 0]);
    const unreadable = here({ problem: waits('NodeError', 'Contradiction') });
    expect(inShort(seenOf(noted, unreadable))[0]).toBe('Waiting/NodeError');
    const gone = here({ problem: fails('VolumeGone', 'No volume') });
    expect(inShort(seenOf(noted, gone))[0]).toBe('Failed/VolumeGone');
  });

  test('it was taken back because it was too late', () => {
    const status: Status = { ...ASKED, reason: 'Queued', message: 'Another merges', startTime: LONG_AGO };
    const { status: after } = decide(seenOf(objectOf({ status, held: true }), here()));
    expect(after).toMatchObject({ reason: 'TimedOut', message: 'It has not begun within 600 s. Another merges' });
    const bare: Status = { ...ASKED, reason: 'Queued', startTime: LONG_AGO };
    expect(inShort(seenOf(objectOf({ status: bare, held: true }), here()))[0]).toBe('Failed/TimedOut');
  });

  test('another restore has been done since it was asked for', () => {
    const sight = here({ outdone: true });
    expect(inShort(seenOf(objectOf({ status: ASKED, held: true }), sight))[0]).toBe('Failed/Superseded');
    expect(inShort(seenOf(objectOf(), sight))[0]).toBe('Waiting/Beginning');
  });

  test('wrong input, and an older one for the same claim', () => {
    const wrong = here({ problem: fails('NotAFork', 'No fork') });
    expect(inShort(seenOf(objectOf(), wrong))).toEqual(['Failed/NotAFork', undefined, undefined, undefined]);
    const { status } = decide(seenOf(objectOf(), here({ before: 'first' })));
    expect(status).toMatchObject({ reason: 'AnotherRestore', node: 'a' });
    expect(status?.message).toContain("VolumeRestore 'first' of the same claim comes first");
  });
});

describe('the node refuses', () => {
  const asked = objectOf({ status: ASKED, held: true });
  const refuse = (kind: ErrorKind, more: Parameters<typeof here>[0] = {}) =>
    decide(seenOf(asked, here(more), { refusal: { kind, message: 'No' } })).status;

  test.each<[ErrorKind, string]>([
    ['invalid', 'Failed/WrongSnapshot'],
    ['not-found', 'Failed/WrongSnapshot'],
    ['exhausted', 'Waiting/NoRoom'],
    ['precondition', 'Waiting/Blocked'],
    ['busy', 'Waiting/NodeError'],
    ['exists', 'Waiting/NodeError'],
    ['out-of-range', 'Waiting/NodeError'],
    ['unavailable', 'Waiting/NodeError'],
    ['contradiction', 'Waiting/NodeError'],
    ['cancelled', 'Waiting/NodeError'],
    ['internal', 'Waiting/NodeError'],
  ])('%s', (kind, said) => {
    const status = refuse(kind);
    expect(`${status?.phase}/${status?.reason}`).toBe(said);
    expect(status?.message).toContain('No');
  });

  test('in use: by whom, and what to do', () => {
    expect(refuse('precondition', { inUse: true })).toMatchObject({ reason: 'VolumeInUse', message: 'No' });
    const one = refuse('precondition', { pods: ['p'] });
    expect(one).toMatchObject({ reason: 'VolumeInUse', blockingPods: ['p'] });
    expect(one?.message).toBe(
      "Pod 'p' uses the volume: scale down or delete what it belongs to, or use the mode OnActivate",
    );
    const many = refuse('precondition', { pods: ['1', '2', '3', '4', '5', '6', '7'] });
    expect(many?.message).toContain("Pods '1', '2', '3', '4', '5' and 2 more use the volume: ");
    const origin = decide(
      seenOf(objectOf({ spec: { mode: 'NameSnapshot' }, status: ASKED, held: true }), here({ pods: ['p'] }), {
        refusal: { kind: 'precondition', message: 'No' },
      }),
    );
    expect(origin.status?.message).toBe(
      "Pod 'p' uses the volume that is to be given up: scale down or delete what it belongs to",
    );
  });

  test('it is asked again soon, and after a minute a little later', () => {
    const refusal = { kind: 'precondition', message: 'No' } as const;
    expect(decide(seenOf(asked, here(), { refusal })).againMs).toBe(2000);
    expect(decide(seenOf(asked, here(), { refusal, nowMs: NOW + 60_000 })).againMs).toBe(5000);
    const fresh = objectOf({ status: { askedTime: STARTED }, held: true });
    expect(decide(seenOf(fresh, here(), { refusal })).againMs).toBe(2000);
    const late = decide(seenOf(asked, here(), { refusal, nowMs: NOW + 600_000 }));
    expect(late.status).toMatchObject({ reason: 'TimedOut', message: 'It has not begun within 600 s. Blocked: No' });
  });
});

describe('too late', () => {
  const LATE = { ...ASKED, startTime: LONG_AGO, askedTime: LONG_AGO };
  const silent = waits('PoolUnavailable', "Pool 'default' does not answer");

  test('what was not begun before the deadline does not begin after it, whoever was away', () => {
    const inUse = { ...LATE, reason: 'VolumeInUse', message: 'Pod uses it' } as const;
    const away = decide(seenOf(objectOf({ status: inUse, held: true }), here()));
    expect(away.act).toBeUndefined();
    expect(away.status).toMatchObject({
      phase: 'Failed',
      reason: 'TimedOut',
      message: 'It has not begun within 600 s. VolumeInUse: Pod uses it',
    });
    const never = objectOf({ status: { phase: 'Waiting', reason: 'SnapshotNotFound', startTime: LONG_AGO } });
    expect(inShort(seenOf(never, here()))[0]).toBe('Failed/TimedOut');
  });

  test('what is to be done at once is asked for once, however long that takes', () => {
    const now = objectOf({ spec: { timeoutSeconds: 0 }, status: ASKED, held: true });
    expect(decide(seenOf(now, here())).act).toBe('start');
    const first = objectOf({ spec: { timeoutSeconds: 0 } });
    expect(inShort(seenOf(first, here()))[0]).toBe('Waiting/Beginning');
  });

  test('a node that may have noted it is waited for, and takes it back then', () => {
    const asked = objectOf({ status: LATE, held: true });
    expect(inShort(seenOf(asked, here({ problem: silent })))).toEqual([
      'Waiting/PoolUnavailable',
      undefined,
      undefined,
      5000,
    ]);
    const known = restoreOf({ phase: 'waiting' });
    expect(inShort(seenOf(asked, here({ known })))).toEqual(['as it was', undefined, 'cancel', 2000]);
    expect(inShort(seenOf(asked, here()))[0]).toBe('Failed/TimedOut');
    const never = objectOf({ status: { ...LATE, askedTime: undefined } });
    expect(inShort(seenOf(never, here({ problem: silent })))[0]).toBe('Failed/TimedOut');
  });

  test('what has begun is no more too late when its node has gone', () => {
    const merging = objectOf({ status: { ...MERGING, startTime: LONG_AGO } });
    expect(inShort(seenOf(merging, { at: 'elsewhere', node: 'b', exists: false }))[0]).toBe('Merging/NodeGone');
  });
});

describe('a claim that has been bound to another volume', () => {
  const problem = fails('ClaimChanged', 'It is another one');

  test('what was noted for the one before is taken back, and nothing is asked of the other', () => {
    const status = { ...ASKED, reason: 'WaitsForActivation' } as const;
    const object = objectOf({ spec: { mode: 'OnActivate' }, status, held: true });
    const noted = here({ known: restoreOf({ phase: 'waiting' }), problem });
    expect(inShort(seenOf(object, noted))).toEqual(['as it was', undefined, 'cancel', 2000]);
    expect(inShort(seenOf(object, here({ problem })))).toEqual(['Failed/ClaimChanged', undefined, undefined, 0]);
  });
});

describe('begun, and not known to the node any more', () => {
  const merging = objectOf({ status: MERGING });

  test('the snapshot has gone too: a later restore has taken its place', () => {
    const problem = waits('SnapshotNotFound', 'There is none');
    expect(inShort(seenOf(merging, here({ problem })))[0]).toBe('Succeeded/Merged');
  });

  test('the claim has gone: nothing will be heard of it any more', () => {
    const problem = waits('ClaimNotFound', 'There is none');
    expect(inShort(seenOf(merging, here({ problem })))[0]).toBe('Failed/VolumeGone');
    expect(inShort(seenOf(merging, here({ problem, known: restoreOf() })))[0]).toBe('Merging/Merging');
  });

  test('a node that does not answer may know it', () => {
    const problem = waits('NodeError', 'It did not answer');
    expect(inShort(seenOf(merging, here({ problem })))[0]).toBe('Merging/NodeError');
  });
});
