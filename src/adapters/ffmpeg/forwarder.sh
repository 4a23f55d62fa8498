# Runs inside the sandbox, where there is no network but the loopback address of its own: socat takes connections on
# 127.0.0.1 and carries them to the one Unix socket that was bound in. When that works, we become the media tool, whose
# HTTP knows no Unix sockets.
#
#   bash forwarder.sh SOCAT SOCKET PORT PROGRAM ARGUMENT…
#
# Not Node: starting it costs as much processor time as starting ffmpeg, for each run of a tool.
socat=$1 socket=$2 port=$3
shift 3

# -t 0: a connection that the tool closes ends at once, and with it the reading behind it. sndbuf: a tool that looks at a place and goes to another
# would leave megabytes behind that were read for it.
"$socat" -t 0 -b 65536 "TCP-LISTEN:$port,bind=127.0.0.1,backlog=16,sndbuf=262144,fork" "UNIX-CONNECT:$socket" </dev/null >/dev/null 2>&1 &
until { exec 9<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null; do
  kill -0 $! 2>/dev/null || exit 127
  sleep 0.01
done
exec 9>&-
exec "$@"
