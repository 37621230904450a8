#!/bin/sh
# A kind cluster for `./dev e2e --cluster kind`: kind.sh up|down NAME IMAGE-ARCHIVE, with KUBECONFIG set. For people who have
# docker, kind and the internet; the machines that run this repository's tests have none of them, so it is not run there.
# The nodes are containers of one machine: they share its kernel, which must have device-mapper, and its devices.
set -eu
here=$(dirname "$0")
case $1 in
up)
  for module in dm_mod dm_snapshot dm_mirror dm_zero loop; do
    modprobe "$module" 2>/dev/null || echo "kind.sh: the module $module was not loaded; it may be built in" >&2
  done
  kind create cluster --name "$2" --wait 5m --config "$here/kind.yaml"
  kind load image-archive "$3" --name "$2"
  kubectl apply --server-side --kustomize "$here/snapshot-controller"
  kubectl rollout status deployment/snapshot-controller --namespace kube-system --timeout 5m
  ;;
down)
  kind delete cluster --name "$2"
  rm -f "$KUBECONFIG"
  ;;
*)
  echo 'usage: kind.sh up|down NAME IMAGE-ARCHIVE' >&2
  exit 2
  ;;
esac
