"""Rows about people and the groups they form."""

from collections.abc import Iterator

from . import render
from .draw import Draw
from .render import NULL
from .spec import MEMBERSHIPS_PER_USER, Spec
from .table import table
from .words import LOCALES, NAMES, SCRIPTS, ZONES

_NAMES = [render.text(name) for name in NAMES]
_HANDLES = [word for line in SCRIPTS.values() for word in line.split()]


def _users(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "users")
    for n in range(1, spec.users + 1):
        # Mixed case: citext keeps it, and finds the address in any case.
        email = draw.nullable(0.02, f"Member.{n}@Example.{draw.pick(('org', 'ORG', 'nz'))}")
        experiences: render.Json = {"dashboard": draw.chance(0.5), "é": draw.below(9), "welcomeModal": None}
        yield (
            f"{n}\t{email}\t{draw.nullable(0.05, f'user{n}')}\t{draw.pick(_NAMES)}\t{draw.token(4)}\t"
            f"{draw.text(2) if draw.chance(0.3) else ''}\t$2a$10${draw.token(26)}\t{draw.uuid()}\t"
            f"{draw.token()}\t"
            f"{draw.nullable(0.3, draw.pick(LOCALES))}\t{draw.nullable(0.2, draw.pick(ZONES))}\t"
            f"{draw.flag(0.02)}\t"
            f"{draw.below(900)}\t{draw.nullable(0.1, _address(draw))}\t{render.jsonb(experiences)}\t[]\t"
            f"{draw.nullable_moment(0.9)}\t{draw.moment()}\t{draw.moment()}"
        )


def _address(draw: Draw) -> str:
    if draw.chance(0.3):
        return f"2001:db8::{1 + draw.below(0xFFFE):x}"
    return f"203.0.113.{draw.below(256)}"


def _sessions(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "sessions")
    for n in range(1, spec.users // 2 + 1):
        yield (
            f'{n}\t{1 + draw.below(spec.users)}\t{_address(draw)}\tMozilla/5.0 (X11; Linux aarch64) "{n}"\t'
            f"{draw.moment()}\t{draw.moment()}"
        )


def _groups(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "groups")
    for n in range(1, spec.groups + 1):
        parent = NULL if n < 6 or draw.chance(0.5) else str(1 + draw.below(5))
        features: render.Json = {
            "zz": [1, 2, {"ключ": "значение", "k": []}],
            "subgroups": draw.chance(0.5),
            draw.pick(_HANDLES): draw.raw_sentence(),
        }
        yield (
            f"{n}\t{parent}\t{draw.title()}\t{draw.title()}\t{draw.pick(_HANDLES)}-{n}\t{draw.text(6)}\t"
            f"{draw.token(4)}\t{draw.uuid()}\t{draw.flag(0.3)}\t{draw.nullable(0.8, str(n))}\t"
            f"{render.jsonb(features)}\t{{}}\t[]\t{draw.nullable_moment(0.95)}\t{draw.moment()}\t"
            f"{draw.moment()}"
        )


def member_of(spec: Spec, user: int) -> list[int]:
    """The groups of a user."""
    return [(user * 7 + n) % spec.groups + 1 for n in range(MEMBERSHIPS_PER_USER)]


def is_admin(user: int, group: int) -> bool:
    return (user + group) % 17 == 0


def member_counts(spec: Spec) -> Iterator[str]:
    """What the view group_member_counts shows: group, members, admins."""
    members: dict[int, int] = {}
    admins: dict[int, int] = {}
    for user in range(1, spec.users + 1):
        for group in member_of(spec, user):
            members[group] = members.get(group, 0) + 1
            admins[group] = admins.get(group, 0) + is_admin(user, group)
    for group in sorted(members):
        yield f"{group}\t{members[group]}\t{admins[group]}"


def _memberships(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "memberships")
    number = 0
    for user in range(1, spec.users + 1):
        for group in member_of(spec, user):
            number += 1
            yield (
                f"{number}\t{group}\t{user}\t{draw.nullable(0.3, str(1 + draw.below(spec.users)))}\t"
                f"{'t' if is_admin(user, group) else 'f'}\t{draw.below(4)}\t"
                f"{draw.nullable(0.8, draw.title())}\t"
                f"{draw.token()}\t{{}}\t{draw.nullable_moment(0.97)}\t{draw.moment()}\t{draw.moment()}"
            )


def _membership_requests(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "membership_requests")
    for n in range(1, spec.users // 5 + 1):
        yield (
            f"{n}\t{draw.pick(_NAMES)}\tGuest{n}@example.COM\t{draw.text(3)}\t{1 + draw.below(spec.groups)}\t"
            f"{NULL}\t{draw.nullable(0.5, 'approved')}\t{draw.moment()}\t{draw.nullable_moment(0.5)}"
        )


def _subscriptions(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "subscriptions")
    discounts = ("0", "0.1", "1e-07", "-2.5", "NaN", "Infinity", "123456.789", "1e+20", "0.30000000000000004")
    for n in range(1, spec.groups + 1):
        yield (
            f"{n}\t{1 + draw.below(spec.users)}\t{draw.pick(('free', 'trial', 'pro'))}\tactive\t"
            f"{draw.below(500)}.{draw.below(100):02}\t{draw.pick(discounts)}\t"
            f"{render.jsonb({'chargify': None, 'n': 10**20})}\t{draw.nullable_moment(0.5)}"
        )


def _tags(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "tags")
    for n in range(1, spec.groups * 4 + 1):
        used = "{" + ",".join(str(1 + draw.below(spec.groups)) for _ in range(draw.below(5))) + "}"
        yield (
            f"{n}\t{1 + (n - 1) // 4}\t{draw.pick(_HANDLES)} {n}\t#{draw.token(3)}\t{draw.below(9)}\t{used}"
        )


TABLES = (
    table(
        "users",
        "id email username name key short_bio password_digest secret_token unsubscribe_token selected_locale"
        " time_zone is_admin sign_in_count current_sign_in_ip experiences attachments deactivated_at"
        " created_at"
        " updated_at",
        _users,
    ),
    table("sessions", "id user_id ip_address user_agent created_at updated_at", _sessions),
    table(
        "groups",
        "id parent_id name full_name handle description key token is_visible_to_public subscription_id"
        " features"
        " info link_previews archived_at created_at updated_at",
        _groups,
    ),
    table(
        "memberships",
        "id group_id user_id inviter_id admin volume title token experiences revoked_at created_at"
        " updated_at",
        _memberships,
    ),
    table(
        "membership_requests",
        "id name email introduction group_id requestor_id response created_at responded_at",
        _membership_requests,
    ),
    table("subscriptions", "id owner_id plan state price discount info expires_at", _subscriptions),
    table("tags", "id group_id name color priority used_group_ids", _tags),
)
