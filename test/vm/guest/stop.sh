#!/bin/sh
# An orderly end of the guest: the driver first, then the disks.
/run/guest/driver.sh stop
sync
umount /var/lib/snapmerge-guest
exec busybox poweroff -f
