"""Rows that follow from others: notifications, versions, search documents, translations, mail, jobs."""

from collections.abc import Iterator

from . import render
from .draw import WORDS, Draw
from .render import NULL
from .spec import ITEMS_PER_TOPIC, NOTIFICATIONS_PER_TOPIC, VERSIONS_PER_TOPIC, Spec
from .table import Table, no_rows, table
from .words import AWKWARD, LOCALES

# Far above every id in use, below the ledger's: a restore must set it, not derive it from the rows.
_FAR_AHEAD = 1_234_567_890


def _notifications(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "notifications")
    titles = [
        render.jsonb({"title": draw.raw_sentence(), "name": "Ana", "poll_type": None}) for _ in range(1000)
    ]
    for n in range(1, spec.topics * NOTIFICATIONS_PER_TOPIC + 1):
        yield (
            f"{n}\t{1 + draw.below(spec.users)}\t{draw.nullable(0.1, str(1 + draw.below(spec.users)))}\t"
            f"{1 + draw.below(spec.topics * ITEMS_PER_TOPIC)}\tcomment_replied_to\t{draw.flag(0.6)}\t"
            f"/d/{draw.token(4)}\t{draw.pick(titles)}\t{draw.moment()}"
        )


def _versions(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "versions")
    for n in range(1, spec.topics * VERSIONS_PER_TOPIC + 1):
        changes: render.Json = {
            "updated_at": [None, draw.day()],
            "body": [draw.raw_sentence(), draw.raw_sentence()],
            "attachments": [[], [{"id": n, "signed_id": draw.token(20), "ratio": True}]],
        }
        value = NULL if draw.chance(0.02) else render.jsonb(changes)
        yield (
            f"{n}\t{draw.pick(('Comment', 'Discussion', 'Poll', 'Stance'))}\t"
            f"{1 + draw.below(spec.comments)}\t"
            f"update\t{draw.nullable(0.05, str(1 + draw.below(spec.users)))}\t{value}\t{draw.moment()}"
        )


def _translations(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "translations")
    for n in range(1, spec.topics // 2 + 1):
        fields = {
            "title": draw.raw_sentence(),
            "body": draw.raw_sentence(),
            "ключ": None if draw.chance(0.3) else draw.raw_sentence(),
            "": "",
        }
        yield (
            f"{n}\tComment\t{1 + draw.below(spec.comments)}\t{draw.pick(LOCALES)}\t"
            f"{draw.nullable(0.01, render.hstore(fields))}\t{draw.moment()}"
        )


def _pg_search_documents(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "pg_search_documents")
    vectors = [_vector(draw) for _ in range(2000)]
    for n in range(1, spec.topics * 4 + 1):
        yield (
            f"{n}\tComment\t{n}\t{1 + draw.below(spec.users)}\t"
            f"{draw.nullable(0.1, str(1 + draw.below(spec.groups)))}\t"
            f"{1 + draw.below(spec.topics)}\t{draw.text(5)}\t{draw.pick(vectors)}\t{{}}\t"
            f"{draw.nullable_moment(0.05)}\t"
            f"{draw.moment()}"
        )


def _vector(draw: Draw) -> str:
    # A word, by its place in the sorted list, so that the lexemes come out in PostgreSQL's order.
    places = sorted({draw.below(len(WORDS)) for _ in range(draw.below(30))})
    return render.tsvector(
        (WORDS[place], f"{1 + draw.below(9)}{draw.pick(('A', 'B', 'C', ''))},{10 + draw.below(16_000)}")
        for place in places
    )


def _pg_search_words(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "pg_search_words")
    for word in WORDS:
        yield f"{word}\t{1 + draw.below(10_000)}"


def _partition_sequences(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "partition_sequences")
    for key in ("discussion_sequence_id", "topic_sequence_id"):
        for n in range(1, spec.topics // 2 + 1):
            yield f"{key}\t{n}\t{draw.nullable(0.01, str(draw.below(500)))}"


def _received_emails(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "received_emails")
    for n in range(1, spec.topics // 10 + len(AWKWARD) + 1):
        headers: dict[str, str | None] = {
            "From": f'Müller, "Jö" <m{n}@example.org>',
            "Subject": AWKWARD[n % len(AWKWARD)],
            'X-\\"odd" key': "=>",
            "To": None,
        }
        # Every awkward string once as a value of its own, so that none depends on what is drawn.
        body = render.text(AWKWARD[n - 1]) if n <= len(AWKWARD) else draw.text(10)
        yield (
            f"{n}\t<{draw.token()}@mail.example.org>\t{NULL}\t{render.hstore(headers)}\t{body}\t"
            f"{draw.nullable(0.5, f'<p>{draw.sentence()}</p>')}\t{draw.flag(0.9)}\t{draw.moment()}"
        )


def _forward_email_rules(spec: Spec) -> Iterator[str]:
    yield "1\tBoard\tboard@example.org"
    yield f"2\tКоманда\t{NULL}"
    yield "3\tΣΊΣΥΦΟΣ\t"


def _webhooks(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "webhooks")
    for n in range(1, spec.groups + 1):
        yield (
            f"{n}\t{n}\t{draw.title()}\thttps://hooks.example.org/{draw.token()}\tslack\t"
            f'["new_discussion", "poll_created"]\t{{show_discussion,create_poll}}\t'
            f"{draw.nullable_moment(0.3)}"
        )


def _solid_queue_jobs(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "solid_queue_jobs")
    for n in range(1, spec.topics + 1):
        arguments = render.text(f'{{"job_class":"GenericWorker","arguments":["Поиск\\n",{n}],"locale":"en"}}')
        yield (
            f"{n}\t{draw.pick(('default', 'low', 'login_emails'))}\tGenericWorker\t{arguments}\t"
            f"{draw.uuid()}\t"
            f"{draw.nullable_moment(0.5)}\t{draw.nullable_moment(0.1)}\t{draw.moment()}"
        )


def _solid_queue_ready_executions(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "solid_queue_ready_executions")
    for n in range(1, 6):
        yield f"{n}\t{n}\tdefault\t{draw.moment()}"


def _solid_cache_entries(spec: Spec) -> Iterator[str]:
    draw = Draw(spec.seed, "solid_cache_entries")
    for n in range(1, 40):
        # One value is large, one is empty, one holds every byte.
        size = {1: spec.large_value_bytes, 2: 0, 3: 256}.get(n, 1 + draw.below(2000))
        value = bytes(range(256)) if n == 3 else draw.bytes(size)
        yield (
            f"{n}\t{render.bytea(draw.bytes(16))}\t{render.bytea(value)}\t"
            f"{n * 230_584_300_921_369 - 2**62}\t{size}\t"
            f"{draw.moment()}"
        )


TABLES = (
    table(
        "notifications",
        "id user_id actor_id event_id kind viewed url translation_values created_at",
        _notifications,
        far_ahead=_FAR_AHEAD,
    ),
    table("versions", "id item_type item_id event whodunnit object_changes created_at", _versions),
    table("translations", "id translatable_type translatable_id language fields created_at", _translations),
    table(
        "pg_search_documents",
        "id searchable_type searchable_id author_id group_id topic_id content ts_content tags authored_at"
        " created_at",
        _pg_search_documents,
    ),
    Table("pg_search_words", ("word", "document_count"), _pg_search_words, key=("word",)),
    Table("partition_sequences", ("key", "id", "counter"), _partition_sequences, key=("key", "id")),
    table(
        "received_emails",
        "id message_id group_id headers body_text body_html spf_valid created_at",
        _received_emails,
    ),
    table("forward_email_rules", "id handle email", _forward_email_rules),
    table("webhooks", "id group_id name url format event_kinds permissions last_used_at", _webhooks),
    table(
        "solid_queue_jobs",
        "id queue_name class_name arguments active_job_id scheduled_at finished_at created_at",
        _solid_queue_jobs,
    ),
    table("solid_queue_failed_executions", "id job_id error created_at", no_rows),
    table("solid_queue_ready_executions", "id job_id queue_name created_at", _solid_queue_ready_executions),
    table("solid_cache_entries", "id key value key_hash byte_size created_at", _solid_cache_entries),
)
