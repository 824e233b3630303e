#!/bin/sh
# Starts every service of the cloud; when one of them ends, the container ends, so that a fault is seen at once.
set -eu
cd /opt/lab
docker-registry serve /etc/lab-registry.yml &
git daemon --reuseaddr --export-all --base-path=/srv/git /srv/git &
python3 /opt/lab/sink.py --smtp-port 25 --http-port 8025 &
python3 -m tests.lab.drive --host 0.0.0.0 --port 8080 --root /srv/drive &
# POSIX sh has no wait -n: poll the children.
children=$(jobs -p)
while :; do
    for child in $children; do kill -0 "$child" || { echo "cloud: a service ended" >&2; exit 1; }; done
    sleep 1
done
