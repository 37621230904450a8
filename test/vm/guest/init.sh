#!/bin/sh
# Process 1 of the guest: what a node's init does for a driver, and no more. Mounts, modules, network, udev if it is
# wanted, the disk that outlives power cuts, the tars attached at boot, the driver, and the agent that runs commands.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=vt100
say() { echo "snapmerge-guest: $*"; }

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm /run/lock /run/lvm
mount -t devpts -o gid=5,mode=620 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount --make-rshared /
ln -sf /proc/mounts /etc/mtab
ln -sfn /proc/self/fd /dev/fd

udev=1 driver=0 address=10.0.2.15
for word in $(cat /proc/cmdline); do
  case $word in
  snapmerge.name=*) hostname "${word#*=}" ;;
  snapmerge.udev=*) udev=${word#*=} ;;
  snapmerge.driver=*) driver=${word#*=} ;;
  snapmerge.address=*) address=${word#*=} ;;
  esac
done

# Other targets and file systems are loaded by the kernel when they are first used.
modprobe -a virtio_net dm_mod dm_snapshot loop
ip link set lo up
ip address add "$address/24" dev eth0
ip link set eth0 up

if [ "$udev" = 1 ]; then
  /usr/lib/systemd/systemd-udevd --daemon
  # Block devices are what matters here; for the rest udev would load drivers that nobody needs.
  udevadm trigger --action=add --subsystem-match=block
else
  # LVM and dmsetup wait for udev unless they are told that there is none.
  printf 'activation {\n udev_sync=0\n udev_rules=0\n}\ndevices {\n obtain_device_list_from_udev=0\n}\n' >/etc/lvm/lvmlocal.conf
fi

# Disks are told apart by their serial, because the letters depend on how many there are.
for block in /sys/block/vd*; do
  serial=$(cat "$block/serial")
  device=/dev/${block##*/}
  case $serial in
  state)
    mkdir -p /var/lib/snapmerge-guest
    mount -t ext4 -o barrier=1 "$device" /var/lib/snapmerge-guest || say 'the state disk cannot be mounted'
    ;;
  data)
    mkdir -p /data
    mount -t ext4 -o barrier=1 "$device" /data || say 'the data disk cannot be mounted'
    ;;
  tar*) tar -xf "$device" -C / || say "the tar on $serial cannot be unpacked" ;;
  pool*)
    mkdir -p /run/guest/disks
    ln -sfn "$device" "/run/guest/disks/$serial"
    ;;
  esac
done

[ "$udev" = 0 ] || udevadm settle --timeout=60 || say 'udev did not settle'
[ "$driver" = 0 ] || /run/guest/driver.sh start
# What this guest is for, when a tar has brought it along.
[ ! -x /usr/local/sbin/guest-start ] || /usr/local/sbin/guest-start || say 'guest-start failed'

(while :; do
  perl /run/guest/agent.pl 7000
  say 'the agent ended and is started again'
done) &

# A shell that waits also collects the orphans that process 1 inherits.
while :; do wait; done
