"""Writing down what the import of a session met: rows of ``session.ImportIssue``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from schemas import session
from schemas.rows.insert import key_of_session
from vbn.errors import InvalidContentError
from vbn.nwb import Issue

LONGEST_DETAIL = 2000


def note_issues(
    key: dict[str, Any], imported_by: str, issues: Iterable[Issue], about: str | None = None
) -> None:
    """Replace the issues that an import of a session has written down.

    Parameters
    ----------
    key : a key that holds the session's.
    imported_by : name of the importing table.
    issues : what it met now; at most one per code and table of the file.
    about : replace the issues of this table of the file only, for imports that are made probe by probe.
    """
    owner = {**key_of_session(key), "imported_by": imported_by}
    (session.ImportIssue & owner & ({} if about is None else {"issue_table": about})).delete_quick()
    now = datetime.now(UTC).replace(tzinfo=None)
    rows = [
        {
            **owner,
            "issue_table": found.table,
            "issue_code": found.code,
            "severity": found.severity,
            "issue_detail": found.detail[:LONGEST_DETAIL],
            "noticed_at": now,
        }
        for found in issues
    ]
    session.ImportIssue.insert(rows)


def stop_at_errors(key: dict[str, Any], imported_by: str, path: Any, issues: Iterable[Issue]) -> None:
    """Write the issues down and raise InvalidContentError if one of them is an error.

    To be called outside of a transaction (in ``make_compute``), so that the rows stay.
    """
    found = list(issues)
    errors = [f"{one.table}: {one.code} ({one.detail})" for one in found if one.severity == "error"]
    if errors:
        note_issues(key, imported_by, found)
        raise InvalidContentError(path, "; ".join(errors) + ".", "See vbn issues and docs/issues.md.")
