#!/bin/sh
# Gets a fresh Debian ready for the drill and the tests, and any machine with a Docker engine as well.
#
#   bootstrap.sh venv              create .venv from the hashed locks
#   bootstrap.sh lab COMMAND …     run COMMAND with a Docker engine and the lab's programs at hand
#
# Whatever is missing is installed when root on a machine with apt-get, and named otherwise.
set -eu
cd "$(dirname "$0")/../.."

say() { printf '%s\n' "$*" >&2; }

# install PROGRAM-OR-CHECK PACKAGE…: packages are only touched when the check fails
updated=
install() {
    say "installing $*"
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "make: missing: $*. Install it (Debian: sudo apt-get install $*) and run the same command again."
        exit 1
    fi
    if [ -z "$updated" ]; then apt-get update -qq; updated=yes; fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >.cache/apt.log 2>&1 || {
        cat .cache/apt.log >&2; say "make: apt-get install $* failed (above)."; exit 1; }
}
need() { program=$1; shift; command -v "$program" >/dev/null || install "$@"; }

make_venv() {
    need python3 python3
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        say "make: Python 3.11 or newer is needed; python3 here is $(python3 --version)."; exit 1; }
    python3 -c 'import ensurepip, venv' 2>/dev/null || install python3-venv
    [ -e /etc/ssl/certs/ca-certificates.crt ] || ! command -v apt-get >/dev/null || install ca-certificates
    say "creating .venv from the hashed locks"
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
    touch .venv/.complete
}

# The engine's own answer decides: on many machines `docker` on the PATH is only a client.
engine_answers() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }

install_engine() {
    [ "$(id -u)" = 0 ] || { say "make: no Docker engine answers (docker info), and starting one needs root." \
        "Start Docker, or let $(id -un) use it, and run the same command again."; exit 1; }
    command -v dockerd >/dev/null || install docker.io iptables
    # Debian split the client from the engine in trixie
    command -v docker >/dev/null || install docker-cli
    command -v iptables >/dev/null || install iptables
}

# A detached engine of our own, ended when COMMAND ends; its output is kept for the curious.
with_own_engine() {
    say "starting dockerd (its output: .cache/dockerd.log)"
    # A pid file of our own: one that a killed engine left in /var/run may name a process that is alive by now.
    rm -f .cache/dockerd.pid
    setsid dockerd --pidfile "$(pwd)/.cache/dockerd.pid" >.cache/dockerd.log 2>&1 </dev/null &
    dockerd=$!
    trap 'kill "$dockerd" 2>/dev/null; wait "$dockerd" 2>/dev/null || true' EXIT
    trap 'exit 130' INT TERM
    deadline=$(($(date +%s) + 90))
    until docker info >/dev/null 2>&1; do
        kill -0 "$dockerd" 2>/dev/null || { tail -n 20 .cache/dockerd.log >&2; say "make: dockerd ended (above)."; exit 1; }
        [ "$(date +%s)" -lt "$deadline" ] || { say "make: dockerd does not answer; see .cache/dockerd.log."; exit 1; }
        sleep 0.2
    done
    status=0; "$@" || status=$?
    exit "$status"
}

lab() {
    need git git
    need ssh-keygen openssh-client
    need rclone rclone
    need age age
    need zstd zstd
    need jq jq
    engine_answers || install_engine
    # Only where no image can be pulled and root may build one; the lab says so when it cannot.
    [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || need mmdebstrap mmdebstrap
    if engine_answers; then exec "$@"; fi
    with_own_engine "$@"
}

mkdir -p .cache
case "${1:-}" in
    venv) make_venv ;;
    lab) shift; lab "$@" ;;
    *) say "usage: bootstrap.sh venv | lab COMMAND …"; exit 2 ;;
esac
