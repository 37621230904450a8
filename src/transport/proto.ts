// The .proto files as grpc-js service definitions. They lie in `proto/` beside the bundle, and one folder up beside the
// sources; int64 and enums are strings, and every field is there with its default.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadSync } from '@grpc/proto-loader';
import type { PackageDefinition } from '@grpc/proto-loader';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { fail } from '../vocabulary/errors.ts';

export interface Definitions {
  readonly identity: ServiceDefinition;
  readonly controller: ServiceDefinition;
  readonly node: ServiceDefinition;
  readonly restore: ServiceDefinition;
  readonly inspect: ServiceDefinition;
  readonly registration: ServiceDefinition;
}

export function loadDefinitions(): Definitions {
  const csi = load('csi.proto');
  const snapmerge = load('snapmerge.proto');
  const kubelet = load('pluginregistration.proto');
  return {
    identity: service(csi, 'csi.v1.Identity'),
    controller: service(csi, 'csi.v1.Controller'),
    node: service(csi, 'csi.v1.Node'),
    restore: service(snapmerge, 'snapmerge.v1.Restore'),
    inspect: service(snapmerge, 'snapmerge.v1.Inspect'),
    registration: service(kubelet, 'pluginregistration.Registration'),
  };
}

function load(file: string): PackageDefinition {
  const places = ['proto/', '../../proto/'].map((folder) => fileURLToPath(new URL(folder + file, import.meta.url)));
  const found = places.find((place) => existsSync(place));
  if (found === undefined) fail('unavailable', `Cannot find ${file}: neither ${places.join(' nor ')} is there`);
  return loadSync(found, { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true });
}

function service(definitions: PackageDefinition, name: string): ServiceDefinition {
  const found = definitions[name];
  if (found === undefined || 'format' in found) fail('internal', `Cannot find service ${name} in its .proto file`);
  return found;
}
