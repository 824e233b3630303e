#!/bin/sh
# The official redis image's contract: options alone mean the server with these options, the server runs as user redis and
# answers other containers, anything else is run as it was given.
set -e

if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
    set -- redis-server "$@"
fi
if [ "$1" = redis-server ]; then
    # Protected mode refuses other containers when no password is set. The official image is compiled without it.
    set -- "$@" --protected-mode no
    if [ "$(id -u)" = 0 ]; then
        find . \! -user redis -exec chown redis '{}' +
        exec setpriv --reuid=redis --regid=redis --init-groups "$@"
    fi
fi
exec "$@"
