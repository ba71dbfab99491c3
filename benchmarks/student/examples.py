"""How much of the learnt score questions without a head get in the shipped student.

The bank has, for each question, a text that should get yes and one that should get no; a score tells a pair apart where
the yes has the larger margin. Neither is from the stories, and neither is gold.
`python -m benchmarks.student.examples` needs QAEMB_LEBEL_PCS.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.record import write_result
from benchmarks.student.pcs import make_inputs, prepare
from benchmarks.student.ship import NAME
from qaemb.answers.students.reading import reference_vector, text_vectors
from qaemb.distill.conditioned import ConditionedSettings, QuestionVectors
from qaemb.distill.train import Lesson, Plan, train_student
from qaemb.models.encoder import Encoder
from qaemb.models.vectors import vectors_of
from qaemb.questions import load_set
from qaemb.stages.distill import taught_words, teacher_cells

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def main() -> None:
    """Print and keep the share of pairs told apart, by the share of the learnt score."""
    settings, workspace = prepare()
    make_inputs(settings, workspace)
    own, test = settings.distill.students[NAME], settings.dataset.test_stories
    encoder, store = Encoder(workspace.model(own.model)), workspace.vectors(settings.answers.store)
    cells = teacher_cells(settings, workspace, own)[0]  # plain texts, as the examples are
    vectors = text_vectors(cells.texts, False, lambda texts: vectors_of(encoder, texts, store), encoder.width)
    questions = QuestionVectors(encoder.embed(cells.questions), reference_vector(encoder))
    taught = taught_words(workspace, own, cells.questions)
    plan = Plan("both", test, taught=taught, held_out_share=own.held_out_share)
    bank = load_set(workspace.questions, "full")
    yes, no = (encoder.embed([getattr(item, kind) for item in bank]) for kind in ("yes_example", "no_example"))
    asked = encoder.embed([item.text for item in bank])
    new = np.array([item.text not in (taught or {}) for item in bank])
    lesson, told = Lesson(False, vectors, cells), {}
    for share in SHARES:
        own_plan = replace(plan, conditioned=ConditionedSettings(learnt_share=share))
        (reader,) = train_student("x", {"digest": ""}, [lesson], questions, own_plan).student.readers
        margins = [reader.conditioned.margins(texts, asked, questions.reference).diagonal() for texts in (yes, no)]
        told[str(share)] = round(float((margins[0] > margins[1])[new].mean()), 4)
    places = {text: column for column, text in enumerate(taught or {})}
    with_head = [(row, places[item.text]) for row, item in enumerate(bank) if item.text in places]
    heads = [reader.heads.margins(texts) for texts in (yes, no)]
    right = sum(bool(heads[0][row, column] > heads[1][row, column]) for row, column in with_head)
    figures = {
        "pairs_without_head": int(new.sum()),
        "told_apart": told,
        "heads": f"{right} of {len(with_head)}",
    }
    headline = {f"told_apart_with_share_{share}": value for share, value in told.items()}
    print(write_result("student_examples", headline, {"student": NAME}, figures))
    print(figures)


if __name__ == "__main__":
    main()
