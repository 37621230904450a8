#!/bin/sh
# Makes the guest a node: what a distribution's init does for containerd and the kubelet. The data disk has the programs,
# and keeps what a node remembers.
set -u
. /etc/snapmerge-node/settings

modprobe -a overlay br_netfilter veth dm_mod dm_snapshot loop
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv4/conf/eth0/proxy_arp
for controller in cpuset cpu io memory pids; do echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control; done

# Pods' mounts must be seen in the driver's pod and the other way round, so these are shared mounts.
keep() {
  mkdir -p "/data/keep$1" "$1"
  mount --bind "/data/keep$1" "$1"
  mount --make-rshared "$1"
}
keep /var/lib/kubelet
keep /var/lib/snapmerge
keep /var/log/pods

# The operator's part of a node: a volume group for the driver, with room for many records.
if [ "$POOL" != none ] && ! vgs "$POOL" >/dev/null 2>&1; then
  vgcreate -qq --metadatasize 64m "$POOL" $(readlink -f /run/guest/disks/pool*)
fi

for daemon in containerd kubelet; do
  setsid /usr/local/sbin/node-daemon "$daemon" </dev/null >>"/var/log/$daemon.log" 2>&1 &
done
