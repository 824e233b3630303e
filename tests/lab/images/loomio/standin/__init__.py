"""A stand-in for the Loomio application, as faithful as a backup or a restore can notice.

It makes its schema at start-up when it finds none, refuses to start without its secrets, serves pages that
come from the database, keeps uploads in the ActiveStorage layout, and on demand writes a numbered ledger that
shows which moment a backup holds. Nothing else of Loomio is here.
"""
