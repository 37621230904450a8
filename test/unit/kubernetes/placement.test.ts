import { expect, test } from 'vitest';
import { pendingClaim, sourceToPlace } from '../../../src/kubernetes/placement.ts';

const tried = { 'volume.kubernetes.io/storage-provisioner': 'csi.snapmerge.io' };
const snapshot = { apiGroup: 'snapshot.storage.k8s.io', kind: 'VolumeSnapshot', name: 'friday' };

const claimWith = (annotations: Readonly<Record<string, string>>, spec: object) =>
  pendingClaim.parse({ metadata: { name: 'fork', namespace: 'shop', resourceVersion: '7', annotations }, spec });

test.each([
  ['a snapshot', { dataSource: snapshot }, { from: 'snapshot', name: 'friday' }],
  ['a claim', { dataSource: { kind: 'PersistentVolumeClaim', name: 'shop' } }, { from: 'claim', name: 'shop' }],
  ['both fields', { dataSource: snapshot, dataSourceRef: snapshot }, { from: 'snapshot', name: 'friday' }],
])('a claim that was tried and is made from %s is placed', (_, spec, source) => {
  expect(sourceToPlace(claimWith(tried, spec))).toEqual(source);
  expect(sourceToPlace(claimWith({ ...tried, 'volume.kubernetes.io/selected-node': 'other' }, spec))).toEqual(source);
});

test.each([
  ['waits for its first consumer', {}, { dataSource: snapshot }],
  ['is made by another driver', { 'volume.kubernetes.io/storage-provisioner': 'other' }, { dataSource: snapshot }],
  ['is made from nothing', tried, {}],
  ['has its volume', tried, { dataSource: snapshot, volumeName: 'pvc-1' }],
  ['is made from another namespace', tried, { dataSourceRef: { ...snapshot, namespace: 'other' } }],
  ['is made by a populator', tried, { dataSourceRef: { apiGroup: 'x.io', kind: 'Thing', name: 'a' } }],
])('a claim that %s is left alone', (_, annotations, spec) => {
  expect(sourceToPlace(claimWith(annotations, spec))).toBeUndefined();
});
