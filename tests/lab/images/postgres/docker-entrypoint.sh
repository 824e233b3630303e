#!/bin/bash
# The official postgres image's contract, as far as a Loomio stack and its backups rely on it: an empty PGDATA becomes a
# cluster owned by POSTGRES_USER with the database POSTGRES_DB; anything but the server is run as it was given.
set -Eeo pipefail

# file_env NAME [DEFAULT]: takes NAME, or the content of the file that NAME_FILE names; both at once is a mistake.
file_env() {
    local name="$1" file_name="$1_FILE" default="${2:-}" value
    if [ -n "${!name:-}" ] && [ -n "${!file_name:-}" ]; then
        echo "error: both $name and $file_name are set (but are exclusive)" >&2
        exit 1
    fi
    value="$default"
    if [ -n "${!name:-}" ]; then
        value="${!name}"
    elif [ -n "${!file_name:-}" ]; then
        value="$(< "${!file_name}")"
    fi
    export "$name"="$value"
    unset "$file_name"
}

# Reads and answers on the socket only, so that nothing outside this container meets a half-made cluster.
start_temporary_server() {
    PGUSER="$POSTGRES_USER" pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -p 5432" -w start
}

initialise() {
    if [ -z "$POSTGRES_PASSWORD" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
        echo "Error: Database is uninitialized and superuser password is not specified." >&2
        echo "       You must specify POSTGRES_PASSWORD to a non-empty value for the superuser." >&2
        exit 1
    fi
    # The password travels in a file descriptor, not in an argument.
    eval "initdb --username=\"\$POSTGRES_USER\" --pwfile=<(printf '%s\n' \"\$POSTGRES_PASSWORD\") $POSTGRES_INITDB_ARGS"
    printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >> "$PGDATA/pg_hba.conf"

    start_temporary_server
    if [ "$POSTGRES_DB" != postgres ]; then
        psql -X -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password --dbname postgres \
            --set db="$POSTGRES_DB" <<< 'CREATE DATABASE :"db";'
    fi
    local script
    for script in /docker-entrypoint-initdb.d/*; do
        case "$script" in
            *.sh) . "$script" ;;
            *.sql) psql -X -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password --dbname "$POSTGRES_DB" -f "$script" ;;
        esac
    done
    pg_ctl -D "$PGDATA" -m fast -w stop
    echo 'PostgreSQL init process complete; ready for start up.'
}

main() {
    # `docker run image -c setting=value` means the server with these options.
    if [ "${1:0:1}" = - ]; then
        set -- postgres "$@"
    fi
    if [ "$1" = postgres ]; then
        mkdir -p "$PGDATA"
        if [ "$(id -u)" = 0 ]; then
            chmod 00700 "$PGDATA"
            find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
            mkdir -p /var/run/postgresql
            chmod 03775 /var/run/postgresql
            chown postgres /var/run/postgresql
            exec setpriv --reuid=postgres --regid=postgres --init-groups \
                env HOME=/var/lib/postgresql "$BASH_SOURCE" "$@"
        fi
        if [ ! -s "$PGDATA/PG_VERSION" ]; then
            file_env POSTGRES_PASSWORD
            file_env POSTGRES_USER postgres
            file_env POSTGRES_DB "$POSTGRES_USER"
            file_env POSTGRES_INITDB_ARGS
            initialise
        else
            echo 'PostgreSQL Database directory appears to contain a database; Skipping initialization'
        fi
    fi
    exec "$@"
}

main "$@"
