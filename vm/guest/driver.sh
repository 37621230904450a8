#!/bin/sh
# Runs the driver as a node would: a pool on the disks, a configuration file, one process that is started again when it
# ends. `start` returns at once; `stop` waits until it is gone.
set -u
bundle=/opt/snapmerge/snapmerge.mjs
config=/etc/snapmerge/config.yaml
log=/var/log/snapmerge.log
run=/run/snapmerge
# As in the driver's image; whoever types LVM's commands here has what Debian has.
lvm=/etc/snapmerge/lvm

# Code that is compiled at run time is translated once more by an emulated processor: commands cost the driver half as
# much without (measured).
jit=
if grep -q TCG /proc/cpuinfo; then jit=--jitless; fi

supervise() {
  echo $$ >"$run/supervisor.pid"
  while [ ! -e "$run/stopped" ]; do
    LVM_SYSTEM_DIR=$lvm node $jit "$bundle" --config "$config" >>"$log" 2>&1 &
    echo $! >"$run/driver.pid"
    wait $!
    echo "snapmerge-guest: the driver ended with code $?" >>"$log"
    # Not a wait for anything: a driver that cannot start must not fill the log.
    [ -e "$run/stopped" ] || sleep 1
  done
}

case ${1:-} in
start)
  if [ ! -e "$bundle" ]; then
    echo "snapmerge-guest: no driver: $bundle is missing"
    exit 0
  fi
  mkdir -p "$run"
  rm -f "$run/stopped"
  if ! vgs pool >/dev/null 2>&1; then
    LVM_SYSTEM_DIR=$lvm node $jit "$bundle" pool create pool --volume-group pool /run/guest/disks/pool* >>"$log" 2>&1 ||
      echo "snapmerge-guest: the pool cannot be made: $(tail -n 1 "$log")"
  fi
  setsid "$0" supervise </dev/null >>"$log" 2>&1 &
  ;;
supervise) supervise ;;
stop)
  [ -e "$run/driver.pid" ] || exit 0
  : >"$run/stopped"
  pid=$(cat "$run/driver.pid")
  kill "$pid" 2>/dev/null
  tries=0
  while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 150 ]; do
    tries=$((tries + 1))
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null
  exit 0
  ;;
*)
  echo 'usage: driver.sh start|stop'
  exit 2
  ;;
esac
