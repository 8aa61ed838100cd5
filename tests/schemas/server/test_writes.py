"""By what the server has written, the page knows whether an answer that it keeps still holds."""

from __future__ import annotations

from typing import Any


def test_every_write_changes_the_sign_once_others_can_see_it_and_reading_does_not(database: Any) -> None:
    from schemas import session
    from schemas.server.datajoint import dj
    from schemas.server.writes import sign_of_writes

    database.connect(create=True)
    mouse = {"mouse_id": "1", "genotype": "wt/wt", "driver_line": [], "reporter_line": ""}
    signs = [sign_of_writes()]

    def is_new() -> bool:
        signs.append(sign_of_writes())
        return signs[-1] != signs[-2]

    session.Mouse.insert1(mouse)
    assert is_new()
    with dj.conn().transaction:
        session.Mouse.update1(mouse | {"genotype": "other"})
        is_new()
    assert is_new(), "what was written is there for others since the commit"
    # The server may write something of its own meanwhile, but not each time.
    reads = [(session.Mouse.to_dicts(), len(session.Session()), is_new())[-1] for _ in range(20)]
    assert reads.count(False) >= 15
    (session.Mouse & {"mouse_id": "1"}).delete_quick()
    assert is_new()
