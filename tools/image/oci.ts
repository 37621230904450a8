// Layers and a configuration -> one archive that `ctr image import`, `docker load`, `podman load` and `kind load` take: the
// OCI image layout with docker's manifest.json beside it, over the same blobs. The same layers make the same bytes.

import { createHash } from 'node:crypto';
import { tar } from '../tar.ts';

export interface Layer {
  /** gzip. */
  readonly content: Uint8Array;
  /** `sha256:` of what is packed in it. */
  readonly diffId: string;
  readonly createdBy: string;
}

export interface ImageConfig {
  /** With a registry or `localhost/` in front, and a tag behind. */
  readonly reference: string;
  readonly entrypoint: readonly string[];
  readonly env: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

export interface OciArchive {
  readonly content: Buffer;
  /** Of the manifest: what `image@sha256:...` means. */
  readonly digest: string;
  readonly layers: readonly Layer[];
}

/** Whoever builds the same gets the same, so no time is told. */
const CREATED = '1970-01-01T00:00:00Z';

const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';

export const sha256 = (content: Uint8Array): string => `sha256:${createHash('sha256').update(content).digest('hex')}`;

interface Blob {
  readonly path: string;
  readonly digest: string;
  readonly content: Uint8Array;
}

const blob = (content: Uint8Array): Blob => {
  const digest = sha256(content);
  return { digest, content, path: `blobs/${digest.replace(':', '/')}` };
};

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

export const ociArchive = (layers: readonly Layer[], image: ImageConfig): OciArchive => {
  const layerBlobs = layers.map(({ content }) => blob(content));
  const config = blob(
    json({
      created: CREATED,
      architecture: 'amd64',
      os: 'linux',
      config: { Env: image.env, Entrypoint: image.entrypoint, WorkingDir: '/', Labels: image.labels },
      rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
      history: layers.map(({ createdBy }) => ({ created: CREATED, created_by: createdBy })),
    }),
  );
  const descriptor = (mediaType: string, { digest, content }: Blob) => ({ mediaType, digest, size: content.length });
  const manifest = blob(
    json({
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: descriptor('application/vnd.oci.image.config.v1+json', config),
      layers: layerBlobs.map((layer) => descriptor('application/vnd.oci.image.layer.v1.tar+gzip', layer)),
      annotations: image.labels,
    }),
  );
  const annotations = {
    'io.containerd.image.name': image.reference,
    'org.opencontainers.image.ref.name': image.reference.slice(image.reference.lastIndexOf(':') + 1),
  };
  const index = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      { ...descriptor(MANIFEST_TYPE, manifest), platform: { architecture: 'amd64', os: 'linux' }, annotations },
    ],
  };
  const docker = [{ Config: config.path, RepoTags: [image.reference], Layers: layerBlobs.map(({ path }) => path) }];
  return {
    digest: manifest.digest,
    layers,
    content: tar([
      { path: 'oci-layout', content: json({ imageLayoutVersion: '1.0.0' }) },
      { path: 'index.json', content: json(index) },
      { path: 'manifest.json', content: json(docker) },
      ...[manifest, config, ...layerBlobs].map(({ path, content }) => ({ path, content })),
    ]),
  };
};
