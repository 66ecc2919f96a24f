"""What holds for every test of the golden suite."""

import pytest

from lookahead_ref.conformance import searching


@pytest.fixture(autouse=True)
def no_edits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the search for edits, which takes seconds, to the tests of them."""
    if request.path.stem != "test_edits":
        monkeypatch.setattr(searching, "edits_for", lambda *_, **__: [])
