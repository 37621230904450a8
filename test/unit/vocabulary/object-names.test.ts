import { expect, test } from 'vitest';
import { claimContext, namedObjects } from '../../../src/vocabulary/object-names.ts';
import { loggedFields } from '../../../src/transport/rpc.ts';

const PVC = { 'csi.storage.k8s.io/pvc/name': 'data', 'csi.storage.k8s.io/pvc/namespace': 'shop' };

test('a claim is named by the provisioner, and carried to the node', () => {
  const context = claimContext({ ...PVC, 'csi.storage.k8s.io/pv/name': 'pvc-1', chunkSize: '32Ki' });
  expect(context).toEqual({ 'snapmerge.io/claim': 'shop/data' });
  expect(namedObjects({}, context)).toEqual({ claim: 'shop/data' });
  // A person who calls, or another orchestrator, names nothing.
  expect(claimContext({ chunkSize: '32Ki' })).toEqual({});
});

test('the log has the objects of a call, and nothing else of its parameters', () => {
  const parameters = { ...PVC, 'csi.storage.k8s.io/pv/name': 'pvc-1', password: 'hunter2' };
  expect(loggedFields({ name: 'pvc-1', parameters, secrets: { a: 'b' } })).toEqual({
    name: 'pvc-1',
    claim: 'shop/data',
    persistentVolume: 'pvc-1',
  });
  const snapshot = {
    'csi.storage.k8s.io/volumesnapshot/name': 'friday',
    'csi.storage.k8s.io/volumesnapshot/namespace': 'shop',
    'csi.storage.k8s.io/volumesnapshotcontent/name': 'snapcontent-1',
  };
  expect(loggedFields({ source_volume_id: 'v', parameters: snapshot })).toEqual({
    source_volume_id: 'v',
    volumeSnapshot: 'shop/friday',
    volumeSnapshotContent: 'snapcontent-1',
  });
  const context = {
    'snapmerge.io/claim': 'shop/data',
    'csi.storage.k8s.io/pod.name': 'db-0',
    'csi.storage.k8s.io/pod.namespace': 'shop',
    'csi.storage.k8s.io/pod.uid': '123',
  };
  expect(loggedFields({ volume_id: 'v', volume_context: context })).toEqual({
    volume_id: 'v',
    claim: 'shop/data',
    pod: 'shop/db-0',
  });
  expect(loggedFields({ volume_id: 'v', parameters: null })).toEqual({ volume_id: 'v' });
});
