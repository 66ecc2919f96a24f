"""Results as tables, pictures and one self-contained page.

Nothing here knows of optimizers or models: it is given names and numbers.
"""

from lookahead_ref.report.files import jsonable, write_atomically, write_json
from lookahead_ref.report.tables import Column, Row, Summary, Table, summarize

__all__ = [
    "Column",
    "Row",
    "Summary",
    "Table",
    "jsonable",
    "summarize",
    "write_atomically",
    "write_json",
]
