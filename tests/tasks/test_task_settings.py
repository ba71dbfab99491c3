"""Settings of tasks: a wrong section or value is named with its key."""

import pytest
from pydantic import ValidationError

from tests.tasks.planted import settings

WRONG = [
    ("classification", {"clustering": {"n_chosen": 5}}, "section `clustering` belongs to kind `clustering`"),
    ("clustering", {"classification": {"n_folds": 5}}, "section `classification` belongs to kind `classification`"),
    ("classification", {"classification": {"sizes": [5, 2]}}, "`sizes` must rise"),
    ("classification", {"classification": {"sizes": [0, 30]}}, "`sizes` must rise"),
    ("classification", {"classification": {"sizes": [5, 10]}}, "`compared` is 30, which is not in `sizes`"),
    ("classification", {"classification": {"folds": 5}}, "folds"),
    ("clustering", {"clustering": {"n_clusters": 1}}, "greater than or equal to 2"),
]


@pytest.mark.parametrize(("kind", "sections", "message"), WRONG)
def test_wrong_sections_and_values_are_named(kind, sections, message):
    with pytest.raises(ValidationError, match=message):
        settings(kind, **sections)


def test_the_defaults_compare_thirty_questions():
    own = settings("classification").classification
    assert own.sizes == [1, 2, 5, 10, 20, 30, 50]
    assert own.compared == 30
