#!/bin/bash -e
# What the image runs when it is given no command. As in the real image, the web server's start prepares the database first:
# an application that starts before a restore leaves a fresh schema in its way.
if [ "$TASK" = worker ]; then
    exec python3 -m standin worker
elif [ "$TASK" = hocuspocus ]; then
    exec python3 -m standin hocuspocus
else
    bundle exec rake db:prepare
    exec python3 -m standin web
fi
