"""Rows of what is discussed and decided: topics and everything that hangs on them."""

from collections.abc import Iterator

from . import render
from .draw import Draw
from .render import NULL
from .spec import (
    ITEMS_PER_TOPIC,
    OPTIONS_PER_POLL,
    POLL_EVERY,
    REACTIONS_PER_TOPIC,
    READERS_PER_TOPIC,
    STANCES_PER_POLL,
    Spec,
)
from .table import no_rows, table
from .words import LOCALES

_REPLIES = ITEMS_PER_TOPIC - 1
_TAGS = [
    render.array(tags)
    for tags in (
        (),
        ("urgent",),
        ("två ord", "a,b"),
        ('with "quotes"', "back\\slash", ""),
        ("NULL", "{x}", "日本"),
    )
]
_PREVIEW_VALUES: tuple[render.Json, ...] = (
    [],
    [{"title": 'A "page"', "url": "https://example.org/ä?a=1&b=2", "hostname": "example.org", "image": None}],
    [{"title": "back\\slash\ttab\nline \x01", "url": "", "fit": "contain", "align": "center", "w": 1200}],
)
_PREVIEWS = [render.jsonb(value) for value in _PREVIEW_VALUES]


def _topics(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "topics")
    for n in range(1, spec.topics + 1):
        kind, target = ("Discussion", n - n // POLL_EVERY) if n % POLL_EVERY else ("Poll", n // POLL_EVERY)
        yield (
            f"{n}\t{kind}\t{target}\t{draw.nullable(0.1, str(1 + draw.below(spec.groups)))}\t"
            f"{ITEMS_PER_TOPIC}\t"
            f"{draw.flag(0.8)}\t1-{ITEMS_PER_TOPIC}\t{draw.pick(_TAGS)}\t{draw.nullable_moment(0.8)}\t"
            f"{draw.moment()}\t"
            f"{draw.moment()}\t{draw.moment()}"
        )


def _discussions(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "discussions")
    number = 0
    for topic in range(1, spec.topics + 1):
        if topic % POLL_EVERY == 0:
            continue
        number += 1
        yield (
            f"{number}\t{topic}\t{1 + draw.below(spec.users)}\t{draw.title()}\t{draw.text(12)}\t"
            f"{draw.pick(('md', 'html'))}\t{draw.token(5)}\t{draw.uuid()}\t"
            f"{draw.nullable(0.5, draw.pick(LOCALES))}\t"
            f"[]\t{draw.pick(_PREVIEWS)}\t{draw.nullable_moment(0.98)}\t{draw.moment()}\t{draw.moment()}"
        )


def _comments(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "comments")
    for n in range(1, spec.comments + 1):
        yield (
            f"{n}\tDiscussion\t{1 + (n - 1) // _REPLIES}\t{1 + draw.below(spec.users)}\t{draw.text(6)}\tmd\t"
            f"{draw.uuid()}\t{draw.nullable(0.7, 'en')}\t[]\t{draw.pick(_PREVIEWS) if n % 9 == 0 else '[]'}\t"
            f"{draw.nullable_moment(0.9)}\t{draw.nullable_moment(0.98)}\t{draw.moment()}\t{draw.moment()}"
        )


def _topic_items(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "topic_items")
    number = 0
    for topic in range(1, spec.topics + 1):
        root = number + 1
        for sequence in range(1, ITEMS_PER_TOPIC + 1):
            number += 1
            if sequence == 1:
                if topic % POLL_EVERY:
                    what = f"Discussion\t{topic - topic // POLL_EVERY}\tnew_discussion"
                else:
                    what = f"Poll\t{topic // POLL_EVERY}\tpoll_created"
                parent, depth = NULL, 0
            else:
                what = f"Comment\t{(topic - 1) * _REPLIES + sequence - 1}\tnew_comment"
                parent, depth = str(root), 1
            when = draw.moment()
            yield (
                f"{number}\t{topic}\t{sequence}\t{what}\t"
                f"{draw.nullable(0.01, str(1 + draw.below(spec.users)))}\t"
                f"{parent}\t{depth}\t00001-{sequence:05}\t{draw.title() if number % 50 == 0 else NULL}\t"
                f"{when}\t{when}"
            )


def _topic_readers(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "topic_readers")
    number = 0
    for topic in range(1, spec.topics + 1):
        for n in range(READERS_PER_TOPIC):
            number += 1
            yield (
                f"{number}\t{topic}\t{(topic * 13 + n) % spec.users + 1}\t{NULL}\t{draw.token()}\t"
                f"{draw.flag(0.05)}\t"
                f"{draw.below(4)}\t1-{1 + draw.below(ITEMS_PER_TOPIC)}\t{draw.nullable_moment(0.2)}\t"
                f"{draw.nullable_moment(0.8)}\t{draw.moment()}"
            )


def _reactions(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "reactions")
    for n in range(1, spec.topics * REACTIONS_PER_TOPIC + 1):
        yield (
            f"{n}\tComment\t{1 + draw.below(spec.comments)}\t{1 + draw.below(spec.users)}\t"
            f"{draw.pick((':heart:', '+1', '🎉', '👍🏽', ':thumbsup:'))}\t{draw.moment()}"
        )


def _polls(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "polls")
    for n in range(1, spec.polls + 1):
        fields: render.Json = {
            "b": [None, True, 'ö\\"\u007f'],
            "a": {"yy": 1, "x": -5},
            "aa": draw.raw_sentence(),
        }
        yield (
            f"{n}\t{n * POLL_EVERY}\t{1 + draw.below(spec.users)}\t{draw.title()}\t"
            f"{draw.nullable(0.1, draw.text(8))}\t"
            f"{draw.pick(('proposal', 'count', 'score', 'ranked_choice', 'meeting'))}\t{draw.token(5)}\t"
            f"{draw.flag(0.2)}\t[1, 2, 3]\t{NULL if draw.chance(0.5) else '{}'}\t{render.jsonb(fields)}\t"
            f"{draw.pick(_TAGS)}\t{draw.nullable_moment(0.1)}\t{draw.nullable_moment(0.4)}\t{draw.moment()}"
        )


def _poll_options(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "poll_options")
    for n in range(1, spec.polls * OPTIONS_PER_POLL + 1):
        scores: render.Json = {str(1 + draw.below(spec.users)): draw.below(10) for _ in range(4)}
        yield (
            f"{n}\t{1 + (n - 1) // OPTIONS_PER_POLL}\t{draw.title()}\t{draw.nullable(0.5, '')}\t"
            f"{draw.pick(('agree', 'abstain', 'disagree', 'block'))}\t{n % OPTIONS_PER_POLL}\t"
            f"{draw.below(100)}\t"
            f"{render.jsonb(scores)}"
        )


def _stances(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "stances")
    number = 0
    for poll in range(1, spec.polls + 1):
        for n in range(STANCES_PER_POLL):
            number += 1
            option = (poll - 1) * OPTIONS_PER_POLL + number % OPTIONS_PER_POLL + 1
            yield (
                f"{number}\t{poll}\t{(poll * 11 + n) % spec.users + 1}\tt\t"
                f"{draw.nullable(0.3, draw.text(3))}\t"
                f"{render.jsonb({str(option): 1 + number % 5})}\t{draw.token()}\t"
                f"{draw.nullable_moment(0.2)}\t"
                f"{draw.nullable_moment(0.98)}\t{draw.moment()}"
            )


def _stance_choices(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "stance_choices")
    for n in range(1, spec.polls * STANCES_PER_POLL + 1):
        poll = 1 + (n - 1) // STANCES_PER_POLL
        option = (poll - 1) * OPTIONS_PER_POLL + n % OPTIONS_PER_POLL + 1
        yield f"{n}\t{n}\t{option}\t{1 + n % 5}\t{draw.moment()}"


def _outcomes(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "outcomes")
    for n in range(1, spec.polls // 2 + 1):
        yield (
            f"{n}\t{n * 2}\t{1 + draw.below(spec.users)}\t{draw.text(5)}\tt\t"
            f"{draw.nullable(0.5, draw.day())}\t"
            f"{draw.moment()}"
        )


def _taggings(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "taggings")
    for n in range(1, spec.discussions // 2 + 1):
        yield f"{n}\t{1 + draw.below(spec.groups * 4)}\t{n}\tDiscussion\t{draw.moment()}"


def _tasks(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "tasks")
    for n in range(1, spec.topics // 4 + 1):
        yield (
            f"{n}\t{1 + draw.below(spec.users)}\t{draw.nullable(0.5, str(1 + draw.below(spec.users)))}\t"
            f"{draw.sentence()}\t{draw.flag(0.5)}\t{draw.nullable(0.5, draw.day())}\t"
            f"{draw.nullable_moment(0.7)}\t"
            f"{draw.moment()}"
        )


def _tasks_users(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "tasks_users")
    for n in range(1, spec.topics // 4 + 1):
        yield f"{n}\t{n}\t{1 + draw.below(spec.users)}"


TABLES = (
    table(
        "topics",
        "id topicable_type topicable_id group_id items_count private ranges_string tags locked_at"
        " last_activity_at"
        " created_at updated_at",
        _topics,
    ),
    table(
        "discussions",
        "id topic_id author_id title description description_format key secret_token content_locale"
        " attachments"
        " link_previews discarded_at created_at updated_at",
        _discussions,
    ),
    table(
        "comments",
        "id parent_type parent_id user_id body body_format secret_token content_locale attachments"
        " link_previews"
        " edited_at discarded_at created_at updated_at",
        _comments,
    ),
    table(
        "topic_items",
        "id topic_id sequence_id itemable_type itemable_id kind user_id parent_id depth position_key"
        " pinned_title"
        " created_at updated_at",
        _topic_items,
    ),
    table(
        "topic_readers",
        "id topic_id user_id inviter_id token guest volume read_ranges_string last_read_at dismissed_at"
        " created_at",
        _topic_readers,
    ),
    table("reactions", "id reactable_type reactable_id user_id reaction created_at", _reactions),
    table(
        "polls",
        "id topic_id author_id title details poll_type key anonymous stance_counts stance_data"
        " custom_fields tags"
        " closing_at closed_at created_at",
        _polls,
    ),
    table("poll_options", "id poll_id name meaning icon priority total_score voter_scores", _poll_options),
    table(
        "stances",
        "id poll_id participant_id latest reason option_scores token cast_at revoked_at created_at",
        _stances,
    ),
    table("stance_choices", "id stance_id poll_option_id score created_at", _stance_choices),
    table("outcomes", "id poll_id author_id statement latest review_on created_at", _outcomes),
    table("taggings", "id tag_id taggable_id taggable_type created_at", _taggings),
    table("tasks", "id author_id doer_id name done due_on remind_at created_at", _tasks),
    table("tasks_users", "id task_id user_id", _tasks_users),
    table("demos", "id author_id group_id name recorded_at", no_rows),
)
