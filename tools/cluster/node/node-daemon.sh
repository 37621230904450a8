#!/bin/sh
# One of the node's daemons, started again when it ends.
set -u
. /etc/snapmerge-node/settings
export PATH=/data/bin:$PATH LD_LIBRARY_PATH=/data/lib
while :; do
  case $1 in
  containerd) containerd --config /etc/snapmerge-node/containerd.toml ;;
  kubelet)
    kubelet --config=/etc/snapmerge-node/kubelet.yaml --kubeconfig=/etc/snapmerge-node/kubeconfig \
      --hostname-override="$NAME" --node-ip="$ADDRESS" --v=1
    ;;
  esac
  echo "node-daemon: $1 ended with code $?"
  # Not a wait for anything: a daemon that cannot start must not fill the log.
  sleep 1
done
