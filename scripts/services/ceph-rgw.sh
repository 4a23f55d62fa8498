#!/usr/bin/env bash
#
# ceph-rgw.sh - a private one-host Ceph cluster with one or more RADOS Gateways (S3) on 127.0.0.1.
#
#   ceph-rgw.sh start      DIR [options]   create (first time) and start; a no-op for what already runs
#   ceph-rgw.sh stop       DIR             stop every daemon of DIR (data kept)
#   ceph-rgw.sh env        DIR             print shell assignments: endpoint, region, keys of every node
#   ceph-rgw.sh status     DIR             which daemon runs, its pid and its memory
#   ceph-rgw.sh node-stop  DIR N [--kill]  stop gateway N only (--kill: SIGKILL), the others go on
#   ceph-rgw.sh node-start DIR N           start gateway N again
#   ceph-rgw.sh node-pause DIR N           SIGSTOP gateway N: it accepts connections and never answers
#   ceph-rgw.sh node-resume DIR N          SIGCONT gateway N
#   ceph-rgw.sh server-kill  DIR NAME      SIGKILL what all nodes share: osd.0 or mon.a
#   ceph-rgw.sh server-start DIR NAME      start it again
#   ceph-rgw.sh admin      DIR N ARGS...   radosgw-admin ARGS... in node N's zone
#   ceph-rgw.sh destroy    DIR             stop, then delete DIR
#
# Options of start (they are fixed when DIR is created, but for --nodes, which may grow):
#   --nodes N        gateways, each one a "vendor node" of its own: own realm/zonegroup/zone, so own pools,
#                    users and bucket names (default 1)
#   --port P         S3 port of node 1; node i listens on P+i-1                     (default 7480)
#   --mon-port P     monitor port; P..P+3 taken, the OSD uses P+10..P+39              (default 7300)
#   --store S        memstore: in RAM, starts in a second, written to DIR by `stop` and lost by a crash (start
#                    then makes an empty cluster with the same keys); bluestore: a sparse file, survives a
#                    crash, needs little RAM, starts 3 s later                      (default memstore)
#   --size BYTES     capacity of the store                                          (default 8 GiB)
#   --region NAME    region (= zonegroup api name) of every node                    (default eu-test-N)
#
# Needs the Debian packages ceph-mon ceph-osd radosgw.
# Runs as root or as any user that owns DIR. Uses no /etc/ceph and no /var/lib/ceph.

set -euo pipefail

die() { echo "ceph-rgw.sh: $*" >&2; exit 1; }
usage() { sed -n '3,/^$/p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }

[ $# -ge 2 ] || usage
CMD=$1
[ "$CMD" != start ] || mkdir -p "$2"
[ -d "$2" ] || case $CMD in stop|destroy) exit 0 ;; *) die "no folder $2" ;; esac
DIR=$(cd "$2" && pwd); shift 2

CONF=$DIR/ceph.conf
RUN=$DIR/run
SETTINGS=$DIR/settings.sh

# one start or stop of a DIR at a time
exec 9> "$DIR/lock"
case $CMD in start|stop|destroy|node-st*|server-*) flock -w 120 9 || die "another $0 works on $DIR" ;; esac

# ---- settings: defaults, then what DIR was created with, then (start only) the command line -------------------
NODES=1 PORT=7480 MON_PORT=7300 STORE=memstore SIZE=$((8 << 30)) REGION=''
[ -f "$SETTINGS" ] && . "$SETTINGS"

parse_options() {
  local fresh=1; [ -f "$SETTINGS" ] && fresh=0
  while [ $# -gt 0 ]; do
    case $1 in
      --nodes) [ "$2" -ge "$NODES" ] || [ $fresh = 1 ] || die "$DIR has $NODES nodes; they cannot be fewer"
               NODES=$2; shift 2 ;;
      --port|--mon-port|--store|--size|--region)
               local var
               case $1 in --port) var=PORT;; --mon-port) var=MON_PORT;; --store) var=STORE;; --size) var=SIZE;; --region) var=REGION;; esac
               [ $fresh = 1 ] || [ "${!var}" = "$2" ] || die "$1 is '${!var}' in $DIR and cannot change; destroy it first"
               printf -v "$var" %s "$2"; shift 2 ;;
      *) usage ;;
    esac
  done
  case $STORE in memstore|bluestore) ;; *) die "--store must be memstore or bluestore" ;; esac
  local v; for v in NODES PORT MON_PORT STORE SIZE REGION; do printf '%s=%q\n' $v "${!v}"; done > "$SETTINGS"
}

region_of() { echo "${REGION:-eu-test-$1}"; }
# Name of node N's realm, zonegroup and zone: another one for each try at making it
zone_of() { local tries; tries=$(cat "$DIR/node$1.tries" 2>/dev/null || echo 1); [ "$tries" = 1 ] && echo "node$1" || echo "node$1-$tries"; }

# ---- processes: a pid counts as ours only while its command line names our ceph.conf -------------------------
pid_of() { # NAME
  local p; p=$(cat "$RUN/$1.pid" 2>/dev/null) || return 1
  { tr '\0' ' ' < "/proc/$p/cmdline"; } 2>/dev/null | grep -qF -- "-c $CONF " && echo "$p"
}
launch() { # NAME COMMAND...   Ceph's daemons fork themselves and return once they are initialised
  local name=$1; shift
  pid_of "$name" >/dev/null && return 0
  rm -f "$RUN/$name.pid"
  "$@" -c "$CONF" >> "$DIR/log/$name.out" 2>&1 < /dev/null 9>&- || { tail -n 5 "$DIR/log/$name.out" >&2; die "$name did not start"; }
}
listens() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }
gone() { [ ! -d "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
halt() { # NAME [SIGNAL]   status 1: it had to be killed
  local p; p=$(pid_of "$1") || return 0
  kill "-${2:-TERM}" "$p" 2>/dev/null || return 0
  kill -CONT "$p" 2>/dev/null || true   # a paused one hears TERM only then
  local i; for i in $(seq 600); do gone "$p" && { rm -f "$RUN/$1.pid"; return 0; }; sleep 0.05; done
  kill -KILL "$p" 2>/dev/null || true
  return 1
}
stop_osd() { # a memstore writes its contents to osd.0 while it ends; "clean" says that it got through
  pid_of osd.0 > /dev/null || return 0
  halt osd.0 && touch "$DIR/osd.0/clean"
}

ceph_()  { ceph -c "$CONF" --connect-timeout 20 "$@"; }
# radosgw-admin in node N's zone; each call costs about half a second
admin_() { local n=$1; shift; radosgw-admin -c "$CONF" -n "client.rgw.$n" --admin-socket= "$@"; }

# ---- first start: configuration, monitor and OSD file systems ------------------------------------------------
write_conf() {
  local asok=
  # a unix socket's path holds at most 107 bytes: without room, go without the admin sockets
  [ $((${#RUN} + 20)) -lt 107 ] && asok="$RUN/\$name.asok"
  local host; host=$(hostname -s 2>/dev/null || echo localhost)
  {
    cat <<CONF
[global]
fsid = $(cat "$DIR/fsid")
mon host = [v2:127.0.0.1:$MON_PORT/0,v1:127.0.0.1:$((MON_PORT + 1))/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind port min = $((MON_PORT + 10))
ms bind port max = $((MON_PORT + 39))
ms bind ipv6 = false
client mount timeout = 20
rados mon op timeout = 20
# no cephx: everything listens on loopback only
auth cluster required = none
auth service required = none
auth client required = none
# radosgw asks for an encrypted monitor session by default, which "none" cannot give (error -13 for 300 s)
ms mon client mode = crc
keyring = $DIR/keyring
# one OSD, one copy
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
# A single copy that was too busy to renew its own read lease never becomes readable again, and one that was restarted need not wait for it.
osd pool default read lease ratio = 50
osd crush chooseleaf type = 0
mon allow pool size one = true
mon allow pool delete = true
mon warn on pool no redundancy = false
mon max pg per osd = 10000
mon pg warn min per osd = 0
mon data avail warn = 2
mon data avail crit = 1
# quick elections and no waiting for a quorum of one
mon election timeout = 1
paxos propose interval = 0.05
paxos min wait = 0.01
auth allow insecure global id reclaim = false
run dir = $RUN
pid file = $RUN/\$name.pid
admin socket = $asok
log file = $DIR/log/\$name.log
crash dir = $DIR/log/crash
log max recent = 100
debug ms = 0
mon cluster log file = $DIR/log/cluster.log

[mon.a]
host = $host
mon data = $DIR/mon.a

[osd]
osd data = $DIR/osd.\$id
osd objectstore = $STORE
osd crush initial weight = 1
osd fast shutdown = false
osd op num shards = 2
osd op num threads per shard = 1
osd scrub begin hour = 0
osd memory target = 939524096
memstore device bytes = $SIZE
bluestore block size = $SIZE
bluestore cache autotune = false
bluestore cache size = 67108864
# a killed gateway's watches end after 5 s, not 30: its successor waits for that at start
osd client watch timeout = 5
osd class load list = *
osd class default list = *

[client]
log file = $DIR/log/\$name.log
rgw data = $DIR/rgw
rgw enable apis = s3, admin
rgw thread pool size = 64
rgw cache enabled = true
osd client watch timeout = 5
client notify timeout = 2
# deleted objects leave the store after a minute, not after two hours
rgw gc obj min wait = 30
rgw gc processor period = 30
CONF
    local n; for n in $(seq "$NODES"); do
      cat <<CONF

[client.rgw.$n]
# tcp_nodelay: without it every small answer waits 40 ms for a delayed ACK
rgw frontends = beast endpoint=127.0.0.1:$((PORT + n - 1)) tcp_nodelay=1
rgw realm = $(zone_of "$n")
rgw zonegroup = $(zone_of "$n")
rgw zone = $(zone_of "$n")
CONF
    done
  } > "$CONF.new"
  mv "$CONF.new" "$CONF"
}

forget_lost_memstore() { # the OSD of a memstore ended without saving: what the monitor knows is void too
  [ "$STORE" = memstore ] && [ -f "$DIR/osd.0/ready" ] && [ ! -f "$DIR/osd.0/clean" ] && ! pid_of osd.0 > /dev/null || return 0
  echo "ceph-rgw.sh: the memstore of $DIR was lost, starting empty" >&2
  local n; for n in $(seq "$NODES"); do halt "client.rgw.$n" KILL; done
  halt mon.a KILL
  rm -rf "$DIR/mon.a" "$DIR/osd.0" "$DIR"/node*.made "$DIR"/node*.tries
}
make_cluster() { # once
  [ -f "$DIR/fsid" ] || cat /proc/sys/kernel/random/uuid > "$DIR/fsid"
  write_conf
  : >> "$DIR/keyring"
  if [ ! -f "$DIR/mon.a/done" ]; then
    rm -rf "$DIR/mon.a" "$DIR/monmap"
    monmaptool --create --fsid "$(cat "$DIR/fsid")" --addv a "[v2:127.0.0.1:$MON_PORT/0,v1:127.0.0.1:$((MON_PORT + 1))/0]" "$DIR/monmap" > /dev/null
    ceph-mon -c "$CONF" --mkfs -i a --monmap "$DIR/monmap" --keyring "$DIR/keyring" >> "$DIR/log/mon.a.out" 2>&1
    touch "$DIR/mon.a/done"
  fi
}
make_osd() { # once, with the monitor up
  [ -f "$DIR/osd.0/ready" ] && { pid_of osd.0 > /dev/null || rm -f "$DIR/osd.0/clean"; return 0; }
  # The same uuid gets the same number again when a first start was cut off here.
  [ -s "$DIR/osd.uuid" ] || cat /proc/sys/kernel/random/uuid > "$DIR/osd.uuid"
  local uuid; uuid=$(cat "$DIR/osd.uuid")
  rm -rf "$DIR/osd.0"; mkdir -p "$DIR/osd.0"
  ceph_ osd new "$uuid" > /dev/null
  ceph-osd -c "$CONF" -i 0 --mkfs --osd-uuid "$uuid" >> "$DIR/log/osd.0.out" 2>&1
  touch "$DIR/osd.0/ready"
}

# ---- a node: realm, zonegroup, zone (all of one zone), user, gateway -----------------------------------------
make_node() { # N; once. What an earlier try left half made stays beside it
  local n=$1 z log=$DIR/log/make-node$1.log
  [ -f "$DIR/node$n.made" ] && return 0
  if [ -f "$DIR/node$n.tries" ]; then echo $(($(cat "$DIR/node$n.tries") + 1)); else echo 1; fi > "$DIR/node$n.tries.new"
  mv "$DIR/node$n.tries.new" "$DIR/node$n.tries"
  write_conf
  z=$(zone_of "$n")
  if [ ! -f "$DIR/node$n.env" ]; then
    local access secret
    access=$(head -c 256 /dev/urandom | base64 -w0 | tr -dc A-Z0-9 | head -c 20)
    secret=$(head -c 256 /dev/urandom | base64 -w0 | tr -dc A-Za-z0-9 | head -c 40)
    (umask 077; printf "S3_$n"'_%s\n' KIND=ceph-rgw ENDPOINT="http://127.0.0.1:$((PORT + n - 1))" REGION="$(region_of "$n")" \
      ACCESS_KEY_ID="$access" SECRET_ACCESS_KEY="$secret" > "$DIR/node$n.env")
  fi
  key() { sed -n "s/^S3_${n}_$1=//p" "$DIR/node$n.env"; }
  {
    admin_ "$n" realm create --rgw-realm="$z" &&
    admin_ "$n" zonegroup create --rgw-realm="$z" --rgw-zonegroup="$z" --api-name="$(region_of "$n")" --master &&
    admin_ "$n" zone create --rgw-realm="$z" --rgw-zonegroup="$z" --rgw-zone="$z" --master &&
    admin_ "$n" period update --rgw-realm="$z" --commit &&
    admin_ "$n" user create --uid="user$n" --display-name="User of node $n" --max-buckets=10000 \
      --access-key="$(key ACCESS_KEY_ID)" --secret-key="$(key SECRET_ACCESS_KEY)"
  } >> "$log" 2>&1 9>&- || { tail -n 3 "$log" >&2; die "node $n: no zone or no user"; }
  touch "$DIR/node$n.made"
}
launch_server() { # NAME
  case $1 in
    mon.a) launch mon.a ceph-mon -i a ;;
    osd.0) launch osd.0 ceph-osd -i 0 ;;
    *) die "no server $1: mon.a, osd.0" ;;
  esac
}
start_node() { # N
  local port=$((PORT + $1 - 1)) _
  pid_of "client.rgw.$1" > /dev/null || ! listens $port || die "port $port is taken"
  launch "client.rgw.$1" radosgw -n "client.rgw.$1"
  for _ in $(seq 600); do listens $port && return 0; sleep 0.05; done
  die "node $1 does not listen on $port"
}

case $CMD in
  start)
    for tool in ceph-mon ceph-osd radosgw radosgw-admin ceph; do
      command -v $tool > /dev/null || die "no $tool; needs: apt-get install --no-install-recommends ceph-mon ceph-osd radosgw"
    done
    parse_options "$@"
    mkdir -p "$RUN" "$DIR/log/crash" "$DIR/rgw"
    forget_lost_memstore
    make_cluster
    pid_of mon.a > /dev/null || ! listens "$MON_PORT" || die "port $MON_PORT is taken"
    launch_server mon.a
    make_osd
    launch_server osd.0
    for n in $(seq "$NODES"); do make_node "$n"; start_node "$n"; done
    cat "$DIR"/node*.env
    ;;
  stop)
    [ -f "$CONF" ] || exit 0
    for n in $(seq "$NODES"); do halt "client.rgw.$n"; done
    stop_osd; halt mon.a
    ;;
  env)
    [ -f "$DIR/node1.env" ] || die "nothing was started in $DIR"
    echo "S3_NODES=$NODES"; cat "$DIR"/node*.env
    ;;
  status)
    rc=0
    names="mon.a osd.0"
    for n in $(seq "$NODES"); do names="$names client.rgw.$n"; done
    for name in $names; do
      if p=$(pid_of "$name"); then printf '%-14s pid %-7s RSS %s MiB\n' "$name" "$p" "$(awk '/^VmRSS/{print int($2/1024)}' "/proc/$p/status")"
      else printf '%-14s not running\n' "$name"; rc=3; fi
    done
    exit $rc
    ;;
  node-stop)  [ "${2:-}" = --kill ] && halt "client.rgw.$1" KILL || halt "client.rgw.$1" ;;
  node-start) start_node "$1" ;;
  node-pause)  p=$(pid_of "client.rgw.$1") || die "node $1 does not run"; kill -STOP "$p" ;;
  node-resume) p=$(pid_of "client.rgw.$1") || die "node $1 does not run"; kill -CONT "$p" ;;
  server-kill)  halt "$1" KILL ;;
  server-start) launch_server "$1" ;;
  admin)      n=$1; shift; admin_ "$n" "$@" ;;
  destroy)
    [ -f "$SETTINGS" ] || die "$DIR was not made by this script"
    for n in $(seq "$NODES"); do halt "client.rgw.$n" KILL; done
    halt osd.0 KILL; halt mon.a KILL
    rm -rf "$DIR"
    ;;
  *) usage ;;
esac
