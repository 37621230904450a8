#!/bin/sh
# A minikube cluster for `./dev e2e --cluster minikube`: minikube.sh up|down NAME IMAGE-ARCHIVE, with KUBECONFIG set. For
# people who have minikube, a hypervisor and the internet; it is not run where this repository's tests are.
set -eu
here=$(dirname "$0")
case $1 in
up)
  # A machine of its own: with the docker driver the nodes would share this machine's kernel.
  minikube start --profile "$2" --nodes 2 --driver "${MINIKUBE_DRIVER:-kvm2}" --disk-size 40g --wait all
  for node in $(kubectl get nodes --output 'jsonpath={.items[*].metadata.name}'); do
    minikube ssh --profile "$2" --node "$node" -- sudo modprobe -a dm_mod dm_snapshot dm_mirror dm_zero loop
  done
  minikube image load --profile "$2" "$3"
  kubectl apply --server-side --kustomize "$here/snapshot-controller"
  kubectl rollout status deployment/snapshot-controller --namespace kube-system --timeout 5m
  ;;
down)
  minikube delete --profile "$2"
  rm -f "$KUBECONFIG"
  ;;
*)
  echo 'usage: minikube.sh up|down NAME IMAGE-ARCHIVE' >&2
  exit 2
  ;;
esac
