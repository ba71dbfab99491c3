"""The settings of a cascade: every mistake is named with its key."""

import pytest
from pydantic import ValidationError

from qaemb.settings import AnswererSettings, AnswersSettings

MEMBERS = {"student": "small", "teacher": "llm", "thresholds": "data/cascades/fast.json"}


def section(**changes: object) -> AnswersSettings:
    spec = {
        "small": {"engine": "student", "model": "m"},
        "llm": {"engine": "shared", "model": "m", "prompt": "text_first"},
        "both": {"engine": "ensemble", "members": ["small", "llm"]},
        "fast": {"engine": "cascade", "cascade": MEMBERS},
        **changes,
    }
    return AnswersSettings.model_validate({"spec": spec, "jobs": {}})


def test_a_cascade_is_made_of_its_student_and_its_teacher_and_is_named_so():
    spec = section().spec
    assert spec["fast"].parts == ["small", "llm"]
    assert spec["both"].parts == ["small", "llm"]
    assert spec["llm"].parts == []
    assert [spec[name].named(name) for name in ("fast", "both")] == ["fast (approximates llm)", "both"]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"engine": "cascade"}, "section `cascade` belongs to engine `cascade`, and that engine needs it"),
        ({"engine": "student", "model": "m", "cascade": MEMBERS}, "section `cascade` belongs to engine `cascade`"),
        ({"engine": "cascade", "model": "m", "cascade": MEMBERS}, "takes no `model` and no `prompt`"),
        ({"engine": "cascade", "members": ["a", "b"], "cascade": MEMBERS}, "only an ensemble has them"),
        ({"engine": "cascade", "cascade": MEMBERS | {"student": "llm"}}, "student and teacher are both `llm`"),
        ({"engine": "cascade", "cascade": {"student": "a", "teacher": "b"}}, "thresholds"),
    ],
)
def test_what_a_cascade_lacks_or_has_too_much_is_named(own, message):
    with pytest.raises(ValidationError, match=message):
        AnswererSettings.model_validate(own)


@pytest.mark.parametrize("member", ["nobody", "both", "fast"])
def test_a_cascade_of_nobody_or_of_what_is_made_of_others_is_refused(member):
    nested = {"engine": "cascade", "cascade": MEMBERS | {"teacher": member}}
    with pytest.raises(
        ValidationError, match=rf"spec\.slow\.cascade: `{member}` is no answerer of answers\.spec, or an"
    ):
        section(slow=nested)


def test_an_ensemble_has_no_cascade_in_it():
    with pytest.raises(ValidationError, match=r"spec\.more\.members: `fast` is no answerer"):
        section(more={"engine": "ensemble", "members": ["fast", "llm"]})
