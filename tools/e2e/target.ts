// What the suite runs against: a cluster that it may use, made for it or there before.

export interface Target {
  /** As the tests are told: what they may do to the nodes depends on it. */
  readonly kind: 'vm' | 'kind' | 'minikube' | 'current';
  readonly kubectl: string;
  /** Undefined: kubectl's own default. */
  readonly kubeconfig: string | undefined;
  /** The folder that `kubectl apply -k` installs the driver from; undefined: it is there already. */
  readonly deployment: string | undefined;
  readonly remove: () => Promise<void>;
}
