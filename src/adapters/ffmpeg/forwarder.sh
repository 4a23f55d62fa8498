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
coproc listener { exec "$socat" -t 0 -b 65536 "TCP-LISTEN:$port,bind=127.0.0.1,backlog=16,sndbuf=262144,fork" "UNIX-CONNECT:$socket" </dev/null 2>/dev/null; }
until { exec {probe}<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null; do
  # It says nothing: this waits a little, and only when it has ended not even that.
  read -rt 0.01 -u "${listener[0]}"
  [ $? -gt 128 ] || exit 127
done
exec {probe}>&-
exec "$@"
