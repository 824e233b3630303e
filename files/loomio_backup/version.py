"""The program's version, as pyproject.toml has it: readable from a plain checkout too, where nothing is
installed.
"""

VERSION = "0.1.0"
