"""Recording the issues found by the import of a session, as rows of ``session.ImportIssue``."""

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
    """Replace the issues recorded by an import of a session.

    Parameters
    ----------
    key : a key that contains the session's primary key.
    imported_by : name of the importing table.
    issues : the issues found now; at most one per code and table of the file.
    about : replace only the issues of this table of the file, for imports that run probe by probe.
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
    """If any issue is an error, record all of them and raise InvalidContentError.

    Call it outside a transaction (in ``make_compute``), so that the rows are kept.
    """
    found = list(issues)
    errors = [f"{one.table}: {one.code} ({one.detail})" for one in found if one.severity == "error"]
    if errors:
        note_issues(key, imported_by, found)
        raise InvalidContentError(path, "; ".join(errors) + ".", "See vbn issues and docs/issues.md.")
