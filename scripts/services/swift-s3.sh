#!/usr/bin/env bash
#
# swift-s3.sh - a private OpenStack Swift with the s3api middleware (S3) on 127.0.0.1.
#
#   swift-s3.sh start      DIR [options]   create (first time) and start; a no-op for what already runs
#   swift-s3.sh stop       DIR             stop every server of DIR (data kept)
#   swift-s3.sh env        DIR             print shell assignments: endpoint, region, keys of every node
#   swift-s3.sh status     DIR             which server runs, its pid and its memory
#   swift-s3.sh node-stop  DIR N [--kill]  stop proxy N only (--kill: SIGKILL), the others go on
#   swift-s3.sh node-start DIR N           start proxy N again
#   swift-s3.sh node-pause DIR N           SIGSTOP proxy N: it accepts connections and never answers
#   swift-s3.sh node-resume DIR N          SIGCONT proxy N
#   swift-s3.sh server-kill  DIR NAME      SIGKILL what all nodes share: object, container, account, updater or memcached
#   swift-s3.sh server-start DIR NAME      start it again
#   swift-s3.sh destroy    DIR             stop, then delete DIR
#
# Options of start (they are fixed when DIR is created, but for --nodes, which may grow):
#   --nodes N         proxies, each a "vendor node" of its own: own port, own keys, own Swift account, and so
#                     bucket names of its own (default 1). All share one account/container/object server; for
#                     nodes that share nothing, start several DIRs with different ports.
#   --port P          S3 port of node 1; node i listens on P+i-1        (default 7580)
#   --backend-port P  object, container, account server, memcached on P..P+3 (default 7560)
#   --region NAME     region (s3api location) of every node             (default eu-test-N)
#   --max-parts N     multipart parts allowed; upstream's default is 1000 (default 10000)
#   --max-file-size B largest single object or part in bytes              (default 5 GiB + 2)
#
# Needs the Debian packages swift-proxy swift-account swift-container swift-object memcached; no keystone.
# DIR must lie on a file system with user extended attributes (ext4, xfs, btrfs; tmpfs since Linux 6.6).
# Runs as root or as any user that owns DIR. Reads nothing of /etc/swift.

set -euo pipefail

die() { echo "swift-s3.sh: $*" >&2; exit 1; }
usage() { sed -n '3,/^$/p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }

[ $# -ge 2 ] || usage
CMD=$1
[ "$CMD" != start ] || mkdir -p "$2"
[ -d "$2" ] || case $CMD in stop|destroy) exit 0 ;; *) die "no folder $2" ;; esac
DIR=$(cd "$2" && pwd); shift 2

ETC=$DIR/etc
RUN=$DIR/run
SETTINGS=$DIR/settings.sh
PYTHON=/usr/bin/python3   # Debian's: the one that has swift

# one start or stop of a DIR at a time
exec 9> "$DIR/lock"
case $CMD in start|stop|destroy|node-st*|server-*) flock -w 120 9 || die "another $0 works on $DIR" ;; esac

# ---- settings: defaults, then what DIR was created with, then (start only) the command line -------------------
NODES=1 PORT=7580 BACKEND_PORT=7560 REGION='' MAX_PARTS=10000 MAX_FILE_SIZE=5368709122
[ -f "$SETTINGS" ] && . "$SETTINGS"

parse_options() {
  local fresh=1; [ -f "$SETTINGS" ] && fresh=0
  while [ $# -gt 0 ]; do
    case $1 in
      --nodes) [ "$2" -ge "$NODES" ] || [ $fresh = 1 ] || die "$DIR has $NODES nodes; they cannot be fewer"
               NODES=$2; shift 2 ;;
      --port|--backend-port|--region|--max-parts|--max-file-size)
               local var
               case $1 in --port) var=PORT;; --backend-port) var=BACKEND_PORT;; --region) var=REGION;;
                 --max-parts) var=MAX_PARTS;; --max-file-size) var=MAX_FILE_SIZE;; esac
               [ $fresh = 1 ] || [ "${!var}" = "$2" ] || die "$1 is '${!var}' in $DIR and cannot change; destroy it first"
               printf -v "$var" %s "$2"; shift 2 ;;
      *) usage ;;
    esac
  done
  local v; for v in NODES PORT BACKEND_PORT REGION MAX_PARTS MAX_FILE_SIZE; do printf '%s=%q\n' $v "${!v}"; done > "$SETTINGS"
}

region_of() { echo "${REGION:-eu-test-$1}"; }
random() { head -c 256 /dev/urandom | base64 -w0 | tr -dc A-Za-z0-9 | head -c "$1"; }

# ---- processes: a pid counts as ours only while its command line names a configuration file of ours ----------
conf_of() { [ "$1" = memcached ] && echo "$RUN/memcached.pid" || echo "$ETC/$1.conf"; }
pid_of() { # NAME
  local p; p=$(cat "$RUN/$1.pid" 2>/dev/null) || return 1
  { tr '\0' ' ' < "/proc/$p/cmdline"; } 2>/dev/null | grep -qF -- " $(conf_of "$1") " && echo "$p"
}
launch() { # NAME PROGRAM [PORT]: starts /usr/bin/swift-PROGRAM without waiting for it
  pid_of "$1" >/dev/null && return 0
  [ $# -lt 3 ] || ! listens "$3" || die "port $3 is taken"
  # run-server.py makes Swift read our swift.conf instead of /etc/swift/swift.conf, a constant in this version
  setsid nohup "$PYTHON" "$DIR/run-server.py" "$ETC/swift.conf" "/usr/bin/swift-$2" "$(conf_of "$1")" -v \
    >> "$DIR/log/$1.log" 2>&1 < /dev/null 9>&- &
  echo $! > "$RUN/$1.pid"
}
launch_memcached() {
  pid_of memcached > /dev/null && return 0
  rm -f "$RUN/memcached.pid"
  ! listens $((BACKEND_PORT + 3)) || die "port $((BACKEND_PORT + 3)) is taken"
  memcached -d -u "$(id -un)" -l 127.0.0.1 -p $((BACKEND_PORT + 3)) -U 0 -m 64 -t 1 -P "$RUN/memcached.pid" -v >> "$DIR/log/memcached.log" 2>&1 < /dev/null 9>&-
  local i; for i in $(seq 50); do [ -s "$RUN/memcached.pid" ] && return 0; sleep 0.1; done
  die "memcached did not start"
}
wait_port() { # NAME PORT
  local i; for i in $(seq 150); do
    listens "$2" && return 0
    pid_of "$1" > /dev/null || [ "$i" -lt 10 ] || { tail -n 5 "$DIR/log/$1.log" >&2; die "$1 did not start"; }
    sleep 0.1
  done
  die "$1 does not listen on $2"
}
port_of() { # NAME of a server that nodes share
  case $1 in
    object) echo "$BACKEND_PORT" ;;
    container) echo $((BACKEND_PORT + 1)) ;;
    account) echo $((BACKEND_PORT + 2)) ;;
    *) die "no server $1: object, container, account, updater, memcached" ;;
  esac
}
launch_server() { # NAME
  case $1 in
    memcached) launch_memcached ;;
    # tells containers of objects that were written while their server was away
    updater) launch updater object-updater ;;
    *) launch "$1" "$1-server" "$(port_of "$1")" ;;
  esac
}
listens() { (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; }
gone() { [ ! -d "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }
halt() { # NAME [SIGNAL]
  local p; p=$(pid_of "$1") || return 0
  kill "-${2:-TERM}" "$p" 2>/dev/null || return 0
  kill -CONT "$p" 2>/dev/null || true   # a paused one hears TERM only then
  local i; for i in $(seq 200); do gone "$p" && { rm -f "$RUN/$1.pid"; return 0; }; sleep 0.05; done
  kill -KILL "$p" 2>/dev/null || true
}

# ---- first start: configuration, rings --------------------------------------------------------------------
make_backend() {
  cat > "$DIR/run-server.py" <<'PY'
import runpy, sys
import swift.common.utils as utils
utils.SWIFT_CONF_FILE = sys.argv[1]     # before anything reads storage policies or constraints
sys.argv = sys.argv[2:]
if sys.argv[0].endswith('object-updater'):
    # a sweep is a process that takes a second of a core to begin: only where something waits
    import glob
    from swift.obj.updater import ObjectUpdater
    listed = ObjectUpdater._listdir
    def waiting(self, path):
        names = listed(self, path)
        return names if path != self.devices else [n for n in names if glob.glob('%s/%s/async_pending*/*/*' % (path, n))]
    ObjectUpdater._listdir = waiting
runpy.run_path(sys.argv[0], run_name='__main__')
PY
  [ -f "$ETC/swift.conf" ] || cat > "$ETC/swift.conf" <<CONF
[swift-hash]
swift_hash_path_suffix = $(random 20)
swift_hash_path_prefix = $(random 20)
[storage-policy:0]
name = Policy-0
default = yes
[swift-constraints]
max_file_size = $MAX_FILE_SIZE
CONF
  local port=$BACKEND_PORT kind
  for kind in object container account; do
    cat > "$ETC/$kind.conf" <<CONF
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $port
user = $(id -un)
swift_dir = $ETC
devices = $DIR/srv
mount_check = false
# 0: serve in the process itself, without a parent
workers = 0
log_name = swift-$kind
log_level = WARNING
disable_fallocate = true
fallocate_reserve = 1%
[pipeline:main]
pipeline = $kind-server
[app:$kind-server]
use = egg:swift#$kind
CONF
    port=$((port + 1))
  done
  cat > "$ETC/updater.conf" <<CONF
[DEFAULT]
user = $(id -un)
swift_dir = $ETC
devices = $DIR/srv
mount_check = false
log_name = swift-updater
log_level = WARNING
[object-updater]
interval = 10
CONF
  [ -f "$ETC/object.ring.gz" ] || "$PYTHON" - "$ETC" "$BACKEND_PORT" <<'PY' 2>> "$DIR/log/ring.log"
# swift-ring-builder's create + add + rebalance + write_ring for the three rings, in one process: 1 replica, 1 device
import sys
from swift.common.ring import RingBuilder
etc, port = sys.argv[1], int(sys.argv[2])
for offset, kind in ((2, 'account'), (1, 'container'), (0, 'object')):
    builder = RingBuilder(4, 1, 0)      # 2^4 partitions, 1 replica, min_part_hours 0
    builder.add_dev({'id': 0, 'region': 1, 'zone': 1, 'weight': 1.0, 'ip': '127.0.0.1', 'port': port + offset,
                     'device': 'd1', 'replication_ip': '127.0.0.1', 'replication_port': port + offset, 'meta': ''})
    builder.rebalance()
    builder.save('%s/%s.builder' % (etc, kind))
    builder.get_ring().save('%s/%s.ring.gz' % (etc, kind))
PY
}
make_node() { # N; once
  local n=$1 secret
  [ -f "$DIR/node$n.env" ] && return 0
  secret=$(random 40)
  # The order of the pipeline matters: s3api wants an auth filter and slo behind it, and tempauth a cache before it
  # (without: 500 "Memcache required").
  cat > "$(conf_of "proxy$n")" <<CONF
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $((PORT + n - 1))
user = $(id -un)
swift_dir = $ETC
workers = 0
log_name = swift-proxy$n
log_level = INFO
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck proxy-logging cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes symlink proxy-logging proxy-server
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:$((BACKEND_PORT + 3))
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
location = $(region_of "$n")
allow_multipart_uploads = true
max_upload_part_num = $MAX_PARTS
max_parts_listing = 1000
[filter:tempauth]
use = egg:swift#tempauth
# the S3 access key is ACCOUNT:USER, the secret key is the value
user_node${n}_s3 = $secret .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
max_manifest_segments = $MAX_PARTS
max_manifest_size = 16777216
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
# one slow answer of the only device must not take it out of service (upstream: 10 errors in 60 s)
error_suppression_limit = 1000000
error_suppression_interval = 1
conn_timeout = 5
node_timeout = 60
CONF
  printf 'S3_%d_KIND=swift\nS3_%d_ENDPOINT=http://127.0.0.1:%d\nS3_%d_REGION=%s\nS3_%d_ACCESS_KEY_ID=%s\nS3_%d_SECRET_ACCESS_KEY=%s\n' \
    "$n" "$n" $((PORT + n - 1)) "$n" "$(region_of "$n")" "$n" "node$n:s3" "$n" "$secret" > "$DIR/node$n.env.new"
  chmod 600 "$DIR/node$n.env.new" "$(conf_of "proxy$n")"; mv "$DIR/node$n.env.new" "$DIR/node$n.env"
}

case $CMD in
  start)
    [ -x /usr/bin/swift-proxy-server ] && [ -x /usr/bin/swift-object-server ] ||
      die "needs: apt-get install --no-install-recommends swift-proxy swift-account swift-container swift-object memcached"
    command -v memcached > /dev/null || die "needs: apt-get install --no-install-recommends memcached"
    parse_options "$@"
    mkdir -p "$ETC" "$RUN" "$DIR/log" "$DIR/srv/d1"
    "$PYTHON" -c 'import os,sys; os.setxattr(sys.argv[1], "user.t", b"1"); os.removexattr(sys.argv[1], "user.t")' "$DIR/srv/d1" 2>/dev/null ||
      die "$DIR: no user extended attributes on this file system"
    make_backend
    launch_memcached
    for name in object container account updater; do launch_server "$name"; done
    for n in $(seq "$NODES"); do make_node "$n"; launch "proxy$n" proxy-server $((PORT + n - 1)); done
    wait_port object "$BACKEND_PORT"; wait_port container $((BACKEND_PORT + 1)); wait_port account $((BACKEND_PORT + 2))
    for n in $(seq "$NODES"); do wait_port "proxy$n" $((PORT + n - 1)); done
    cat "$DIR"/node*.env
    ;;
  stop)
    [ -f "$SETTINGS" ] || exit 0
    for n in $(seq "$NODES"); do halt "proxy$n"; done
    for name in object container account updater memcached; do halt "$name"; done
    ;;
  env)
    [ -f "$DIR/node1.env" ] || die "nothing was started in $DIR"
    echo "S3_NODES=$NODES"; cat "$DIR"/node*.env
    ;;
  status)
    rc=0
    names="memcached object container account updater"; for n in $(seq "$NODES"); do names="$names proxy$n"; done
    for name in $names; do
      if p=$(pid_of "$name"); then printf '%-14s pid %-7s RSS %s MiB\n' "$name" "$p" "$(awk '/^VmRSS/{print int($2/1024)}' "/proc/$p/status")"
      else printf '%-14s not running\n' "$name"; rc=3; fi
    done
    exit $rc
    ;;
  node-stop)  [ "${2:-}" = --kill ] && halt "proxy$1" KILL || halt "proxy$1" ;;
  node-start) launch "proxy$1" proxy-server $((PORT + $1 - 1)); wait_port "proxy$1" $((PORT + $1 - 1)) ;;
  node-pause)  p=$(pid_of "proxy$1") || die "node $1 does not run"; kill -STOP "$p" ;;
  node-resume) p=$(pid_of "proxy$1") || die "node $1 does not run"; kill -CONT "$p" ;;
  server-kill)  halt "$1" KILL ;;
  server-start)
    launch_server "$1"
    case $1 in object|container|account) wait_port "$1" "$(port_of "$1")" ;; esac
    ;;
  destroy)
    [ -f "$SETTINGS" ] || die "$DIR was not made by this script"
    for name in $(seq -f 'proxy%.0f' "$NODES") object container account updater memcached; do halt "$name" KILL; done
    rm -rf "$DIR"
    ;;
  *) usage ;;
esac
