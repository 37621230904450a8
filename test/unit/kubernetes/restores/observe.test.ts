import { expect, test } from 'vitest';
import { TOPOLOGY_KEY } from '../../../../src/csi/topology.ts';
import { firstOf, nodeOf, uses } from '../../../../src/kubernetes/restores/observe.ts';
import { persistentVolume, pod } from '../../../../src/kubernetes/api/objects.ts';
import type { Status } from '../../../../src/kubernetes/api/objects.ts';
import { objectOf } from '../object.ts';

const metadata = { name: 'p', uid: 'u', resourceVersion: '1', creationTimestamp: '2030-01-01T00:00:00Z' };

const placed = (...terms: readonly unknown[]) =>
  persistentVolume.parse({ metadata, spec: { nodeAffinity: { required: { nodeSelectorTerms: terms } } } });
const at = (...values: readonly string[]) => ({ matchExpressions: [{ key: TOPOLOGY_KEY, operator: 'In', values }] });

test('the node of a volume', () => {
  expect(nodeOf(placed(at('a')))).toBe('a');
  expect(nodeOf(placed(at('a'), at('a')))).toBe('a');
  expect(nodeOf(placed(at('a', 'b')))).toBeUndefined();
  expect(nodeOf(placed({ matchExpressions: [{ key: 'zone', operator: 'In', values: ['a'] }] }))).toBeUndefined();
  expect(
    nodeOf(placed({ matchExpressions: [{ key: TOPOLOGY_KEY, operator: 'NotIn', values: ['a'] }] })),
  ).toBeUndefined();
  expect(nodeOf(persistentVolume.parse({ metadata, spec: {} }))).toBeUndefined();
});

test('who uses a claim', () => {
  const podOf = (volumes: readonly unknown[], phase?: string) =>
    pod.parse({ metadata, spec: { volumes }, status: { phase } });
  const byName = [{ name: 'v', persistentVolumeClaim: { claimName: 'data' } }];
  expect(uses(podOf(byName), 'data')).toBe(true);
  expect(uses(podOf(byName, 'Running'), 'data')).toBe(true);
  expect(uses(podOf(byName, 'Succeeded'), 'data')).toBe(false);
  expect(uses(podOf(byName, 'Failed'), 'data')).toBe(false);
  expect(uses(podOf(byName), 'other')).toBe(false);
  expect(uses(podOf([{ name: 'scratch', ephemeral: {} }]), 'p-scratch')).toBe(true);
  expect(uses(podOf([{ name: 'scratch', emptyDir: {} }]), 'p-scratch')).toBe(false);
});

test('which of several comes first', () => {
  const early = '2030-01-01T10:00:00Z';
  const late = '2030-01-01T11:00:00Z';
  const mine = objectOf({ name: 'mine', uid: '5', created: late });
  const other = (given: Parameters<typeof objectOf>[0]) =>
    firstOf([objectOf({ name: 'other', uid: '1', ...given })], mine);
  expect(other({ created: early })).toBe('other');
  expect(other({ created: '2030-01-01T12:00:00Z' })).toBeUndefined();
  expect(other({ created: late })).toBe('other');
  expect(other({ created: late, uid: '9' })).toBeUndefined();
  expect(other({ created: early, uid: '5' })).toBeUndefined();
  expect(other({ created: early, spec: { persistentVolumeClaimName: 'another' } })).toBeUndefined();
  // What the node has been asked for is first, whatever its age.
  expect(other({ created: '2030-01-01T12:00:00Z', held: true })).toBe('other');
  const held = objectOf({ name: 'mine', uid: '5', created: late, held: true });
  expect(firstOf([objectOf({ name: 'other', uid: '1', created: early })], held)).toBeUndefined();
  const begun: Status = {
    conditions: [{ type: 'Begun', status: 'True', reason: 'Begun', message: '', lastTransitionTime: early }],
  };
  expect(other({ created: early, status: begun })).toBeUndefined();
  expect(other({ created: early, status: { phase: 'Failed' } })).toBeUndefined();
  expect(other({ created: early, status: { phase: 'Failed' }, held: true })).toBe('other');
});
