"""Every seeded table, in an order in which foreign keys can be filled."""

from . import attachments, derived, people, topics

TABLES = (*people.TABLES, *topics.TABLES, *derived.TABLES, *attachments.TABLES)
