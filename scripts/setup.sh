#!/bin/sh
# Installs what is missing to run Mosaik, or to test it, and nothing else. Says nothing when nothing is missing.
#
#   sh scripts/setup.sh run    ffmpeg, Redis, the npm packages (Node 24 among them), the kernel and the player
#   sh scripts/setup.sh test   those, a browser, and the real servers that the tests start for themselves
#   sh scripts/setup.sh check  only the npm packages and the kernel
#
# Needs git, and a Node of version 20 or newer with npm. Where it may not install system packages it names them and
# exits 1. May be run any number of times.
set -eu

mode=${1:-run}
case $mode in
  run | test | check) ;;
  *)
    echo "usage: setup.sh [run|test|check]" >&2
    exit 2
    ;;
esac

cd "$(dirname "$0")/.."
root=$(pwd -P)
stamp=node_modules/.mosaik-setup

say() { printf 'setup: %s\n' "$*"; }
# fail REASON [LINE…]: lines after the first stand alone, to be copied.
fail() {
  printf 'setup: %s\n' "$1" >&2
  shift
  [ $# -eq 0 ] || printf '  %s\n' "$@" >&2
  exit 1
}

# Programs of the system lie in sbin too, which is not on every user's PATH. Our own node_modules/.bin is left out:
# npm must not run on the very Node that it is about to replace.
clean_path=
old_ifs=$IFS
IFS=:
for dir in $PATH; do
  case $dir in
    */node_modules/.bin | */node-gyp-bin) ;;
    *) clean_path=${clean_path:+$clean_path:}$dir ;;
  esac
done
IFS=$old_ifs
PATH=$clean_path:/usr/sbin:/sbin
export PATH

has() { command -v "$1" >/dev/null 2>&1; }

# ---------------------------------------------------------------------------------------------- system packages

has_postgres() {
  has initdb && return 0
  for bin in /usr/lib/postgresql/*/bin/initdb; do
    [ -x "$bin" ] && return 0
  done
  return 1
}

has_browser() {
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    # Ubuntu's chromium-browser may be a stub that only asks for the snap.
    if has "$name" && ! grep -qs 'snap install' "$(command -v "$name")"; then return 0; fi
  done
  [ -d "/Applications/Chromium.app" ] || [ -d "/Applications/Google Chrome.app" ]
}

packages='' # missing, by their Debian names
need() { packages="${packages:+$packages }$1"; }

find_missing() {
  packages=''
  [ "$mode" != check ] || return 0
  { has ffmpeg && has ffprobe; } || need ffmpeg
  has redis-server || need redis-server
  [ "$mode" = test ] || return 0
  has bwrap || need bubblewrap
  has socat || need socat
  has_browser || need chromium
  has ceph-mon || need ceph-mon
  has ceph-osd || need ceph-osd
  { has radosgw && has radosgw-admin; } || need radosgw
  has swift-proxy-server || need swift-proxy
  has swift-account-server || need swift-account
  has swift-container-server || need swift-container
  has swift-object-server || need swift-object
  has memcached || need memcached
  has_postgres || need postgresql
  has pkcs11-tool || need opensc
  has softhsm2-util || need softhsm2
}

as_root=''
may_be_root() {
  [ "$(id -u)" = 0 ] && return 0
  if has sudo && sudo -n true 2>/dev/null; then
    as_root='sudo -n'
    return 0
  fi
  return 1
}

policy=/usr/sbin/policy-rc.d
policy_mark='written by the setup of Mosaik'

# Debian starts a service as soon as its package is installed. We start our own, so none may: policy-rc.d says no.
hold_services() {
  if [ -e "$policy" ] && ! grep -qs "$policy_mark" "$policy"; then return 0; fi
  printf '#!/bin/sh\n# %s; removed when it ends\nexit 101\n' "$policy_mark" | $as_root tee "$policy" >/dev/null
  $as_root chmod 755 "$policy"
}

release_services() {
  if grep -qs "$policy_mark" "$policy"; then $as_root rm -f "$policy"; fi
}

enabled_units() {
  for unit in /etc/systemd/system/*.wants/*; do
    [ -L "$unit" ] && basename "$unit"
  done | sort -u
}

log=''
units_before=''
cleanup() {
  release_services
  [ -z "$log" ] || rm -f "$log" "$units_before"
}

apt_get() {
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q "$@" >>"$log" 2>&1 </dev/null
}

# Installs $@. True when all of them are there afterwards.
apt_install() {
  log=$(mktemp)
  units_before=$(mktemp)
  trap cleanup EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  enabled_units >"$units_before"
  hold_services
  installed=yes
  # A machine fresh from its image has no package lists, an old one has lists of packages that are gone.
  apt-cache show "$@" >/dev/null 2>&1 || apt_get update || true
  apt_get install -y --no-install-recommends "$@" || {
    apt_get update || true
    apt_get install -y --no-install-recommends "$@" || installed=no
  }
  release_services
  # Not started now, and not at the next boot either.
  if has systemctl; then
    enabled_units | comm -13 "$units_before" - | while read -r unit; do
      case $unit in
        redis* | memcached* | swift* | ceph* | radosgw* | postgresql*)
          $as_root systemctl disable "$unit" >/dev/null 2>&1 || true
          ;;
      esac
    done
  fi
  [ $installed = yes ] || tail -n 15 "$log" >&2
  rm -f "$log" "$units_before"
  log=''
  trap - EXIT INT TERM HUP
  [ $installed = yes ]
}

missing_on_debian() {
  # Ubuntu has Chromium as a snap only, which needs a running snapd: take Playwright's build of it instead.
  if grep -qs '^ID=ubuntu' /etc/os-release; then
    case " $packages " in
      *" chromium "*)
        playwright_browser=yes
        packages=$(printf '%s\n' "$packages" | sed 's/chromium//; s/  */ /g; s/^ //; s/ $//')
        ;;
    esac
  fi
  [ -n "$packages" ] || return 0
  may_be_root || fail "these packages are missing, and only an administrator may install them. Run, then try again:" \
    "sudo apt-get update && sudo apt-get install -y --no-install-recommends $packages"
  say "installing $packages (apt-get; takes a while the first time)"
  # shellcheck disable=SC2086 # a list of names
  apt_install $packages || fail "apt-get could not install: $packages (its last words are above)"
}

missing_on_macos() {
  formulas=''
  others=''
  for name in $packages; do
    case $name in
      ffmpeg | memcached | opensc) formulas="$formulas $name" ;;
      redis-server) formulas="$formulas redis" ;;
      postgresql) formulas="$formulas postgresql@17" ;;
      softhsm2) formulas="$formulas softhsm" ;;
      bubblewrap | socat) ;; # Linux only
      *) others="$others $name" ;;
    esac
  done
  if [ -n "$formulas" ]; then
    has brew || fail "please install:$formulas (with Homebrew: brew install$formulas)"
    say "installing$formulas (brew)"
    # shellcheck disable=SC2086 # a list of names
    brew install --quiet $formulas </dev/null || fail "brew could not install:$formulas"
  fi
  [ -z "$others" ] || say "not to be had here, tests that need them will say so:$others"
}

playwright_browser=no
find_missing
if [ -n "$packages" ]; then
  if has apt-get; then
    missing_on_debian
  elif [ "$(uname -s)" = Darwin ]; then
    missing_on_macos
  else
    fail "please install with your package manager (Debian's names): $packages"
  fi
fi

# ------------------------------------------------------------------------------------- npm packages, and Node 24

has npm || fail "npm is missing; install Node 20 or newer with npm"

lock_sum=$(cksum <package-lock.json)
# What a plain `npm ci` by hand left behind counts too.
if [ ! -f "$stamp" ] && [ -n "$(find node_modules/.package-lock.json -newer package-lock.json 2>/dev/null)" ]; then
  printf '%s\n' "$lock_sum" >"$stamp"
fi
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$lock_sum" ]; then
  say "installing npm packages and Node 24 (npm ci)"
  npm ci --include=dev --no-progress --no-update-notifier --loglevel=error </dev/null >/dev/null || fail "npm ci failed (its reason is above)"
  fresh=yes
else
  fresh=no
fi

node=$root/node_modules/.bin/node
is_node_24() {
  case $("$node" --version 2>/dev/null) in
    v24.*) return 0 ;;
    *) return 1 ;;
  esac
}
# The npm package `node` fetches the binary in its install script, which a setting of the user's may have switched off.
is_node_24 || npm rebuild node --ignore-scripts=false --loglevel=error </dev/null >/dev/null || true
is_node_24 || fail "the npm package \`node\` did not bring Node 24 for $(uname -s) $(uname -m); see: npm rebuild node"
if [ $fresh = yes ]; then printf '%s\n' "$lock_sum" >"$stamp"; fi

# The sandbox of ffmpeg: better with it, possible without it, so it is tried for once and never insisted on.
refused=node_modules/.mosaik-sandbox-refused
has_sandbox() { has bwrap && has socat; }
if [ "$mode" = run ] && ! has_sandbox && [ ! -f "$refused" ] && has apt-get && may_be_root; then
  say "installing bubblewrap and socat (apt-get)"
  apt_install bubblewrap socat 2>/dev/null || {
    say "bubblewrap and socat could not be installed; ffmpeg will run without its sandbox"
    touch "$refused"
  }
fi

if [ $playwright_browser = yes ] && [ -z "$(ls -d "$HOME"/.cache/ms-playwright/chromium* 2>/dev/null)" ]; then
  may_be_root || fail "a browser for the tests is missing; install Google Chrome, or run:" \
    "sudo node_modules/.bin/playwright-core install-deps chromium && node_modules/.bin/playwright-core install chromium"
  say "installing Chromium (Playwright's build)"
  "$node" node_modules/.bin/playwright-core install --with-deps chromium >/dev/null </dev/null ||
    fail "Chromium could not be installed"
fi

# ------------------------------------------------------------------------------------------------ kernel, player

# build NAME SCRIPT SOURCE… : runs SCRIPT when build/ is older than any SOURCE.
build() {
  name=$1 script=$2
  shift 2
  built=build/.$name
  if [ ! -f "$built" ] || [ -n "$(find "$script" "$@" package-lock.json -newer "$built" 2>/dev/null | head -n 1)" ]; then
    say "building the $name"
    "$node" --disable-warning=ExperimentalWarning "$script" </dev/null >/dev/null || fail "the $name could not be built"
    mkdir -p build
    touch "$built"
  fi
}

build kernel scripts/build-kernel.ts src/crypto/kernel
[ "$mode" = check ] || build player scripts/build-player.ts src/console src/retrieve src/format src/crypto src/domain
