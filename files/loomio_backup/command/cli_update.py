"""What can be typed to bring newer versions of the stack onto this Pi."""

from loomio_backup.command.cli_options import Verbs, add_wait


def add_verb(verbs: Verbs) -> None:
    """`update`."""
    update = verbs.add_parser(
        "update",
        help="run newer images on the same data, or go back by itself",
        description="Tries the new images on a restored copy of the newest backup, stops what writes, backs "
        "up that very moment (pinned, labelled before-update), migrates, starts the new version where nobody "
        "reaches it, and lets people in when it has answered. If it does not come to that, the old version "
        "and the data of when the writers stopped come back by themselves. A later setup goes by the "
        "settings: change them there, too, or use loomio-pi deploy update.",
    )
    update.add_argument(
        "--loomio", metavar="IMAGE", help="such as loomio/loomio:3.6 (app, worker, hocuspocus)"
    )
    update.add_argument("--postgres", metavar="IMAGE", help="such as postgres:17; also a newer major version")
    update.add_argument("--redis", metavar="IMAGE", help="such as redis:8")
    update.add_argument(
        "--no-rehearsal", action="store_true", help="do not try it on a copy first (it takes time and memory)"
    )
    update.add_argument(
        "--back",
        action="store_true",
        help="instead: take an update back that did not come to its end, with the data of when the writers "
        "stopped",
    )
    add_wait(update)
