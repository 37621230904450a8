import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { loadDefinitions } from '../../../src/transport/proto.ts';
import { digest, protoListing } from '../../csi/proto-listing.ts';

/** Of the standard's own csi.proto v1.13.0 without SnapshotMetadata: `node test/csi/proto-listing.ts <that file>` prints it. */
const STANDARD = 'cf62bc31dcceb4401033900b18da995e9f1b17368df9fbb6a40407c8140d26bf';

test('csi.proto has the names, numbers and types of CSI v1.13.0', () => {
  const ours = protoListing(readFileSync(new URL('../../../proto/csi.proto', import.meta.url), 'utf8'));
  expect(ours).toContain('CreateVolumeRequest string name = 1');
  expect(digest(ours)).toBe(STANDARD);
});

test('a listing sees a changed number, type, label and oneof', () => {
  const base = 'message A { oneof o { string x = 1; } repeated int32 y = 2; }';
  const changed = [base.replace('= 1', '= 3'), base.replace('int32', 'int64'), base.replace('repeated ', '')];
  const unpacked = base.replace('oneof o { string x = 1; }', 'string x = 1;');
  for (const text of [...changed, unpacked]) expect(protoListing(text)).not.toEqual(protoListing(base));
  expect(protoListing(`// words\n${base.replaceAll(' ', '\n')}`)).toEqual(protoListing(base));
});

test('all services load', () => {
  const { identity, controller, node, restore, registration } = loadDefinitions();
  expect(Object.keys(identity)).toHaveLength(3);
  expect(Object.keys(controller)).toHaveLength(17);
  expect(Object.keys(node)).toHaveLength(10);
  expect(Object.keys(restore)).toEqual(['StartRestore', 'GetRestore', 'ListRestores', 'WatchRestore', 'CancelRestore']);
  expect(Object.keys(registration)).toEqual(['GetInfo', 'NotifyRegistrationStatus']);
});

test('the kubelet is spoken to with the names, numbers and types of its pluginregistration v1', () => {
  const ours = protoListing(readFileSync(new URL('../../../proto/pluginregistration.proto', import.meta.url), 'utf8'));
  // Of k8s.io/kubelet v0.36.3, pkg/apis/pluginregistration/v1/api.proto.
  expect(ours).toEqual([
    'PluginInfo repeated string supported_versions = 4',
    'PluginInfo string endpoint = 3',
    'PluginInfo string name = 2',
    'PluginInfo string type = 1',
    'Registration rpcGetInfo(InfoRequest)returns(PluginInfo)',
    'Registration rpcNotifyRegistrationStatus(RegistrationStatus)returns(RegistrationStatusResponse)',
    'RegistrationStatus bool plugin_registered = 1',
    'RegistrationStatus string error = 2',
    'package pluginregistration',
  ]);
});
