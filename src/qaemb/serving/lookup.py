"""Named features of texts: read from the feature store, and answered, checked and pushed where it has none."""

from __future__ import annotations

import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from qaemb.answers import Answerer
from qaemb.answers.answerer import check_inputs
from qaemb.errors import BadInput, BadMatrix
from qaemb.identity import text_id
from qaemb.serving.definitions import ARRAY_VIEW, PUSH_SOURCE
from qaemb.serving.manifest import ARRAY, ENTITY, read_manifest
from qaemb.serving.offline import append_offline, array_table
from qaemb.serving.store import exclusive, open_store

_NOTHING = "publishes nothing; name a job in params.yaml (`publish`) and run `dvc repro publish`"


class ServedFeatures:
    """The published features of one feature repository. Opening it takes seconds, so keep it for many look-ups.

    `repo` is the folder with feature_store.yaml and data/. BadInput where nothing is published there.
    """

    def __init__(self, repo: Path) -> None:
        manifest = read_manifest(repo)
        if manifest is None:
            raise BadInput(f"{repo} {_NOTHING}")
        self.repo = repo
        self.manifest = manifest
        self._store: Any = open_store(repo)
        if ARRAY_VIEW not in {view.name for view in self._store.list_feature_views()}:
            raise BadInput(f"{repo / 'data'} has a manifest but no feature store; run `qaemb publish` to build it")

    def features_for(self, texts: list[str], set_name: str, answerer: Answerer | None = None) -> pd.DataFrame:
        """Return the margins (float32, nats) of `texts`: index `text`, a column per question of the set, in its order.

        A text that the store has no answers for is answered by `answerer`, to all published questions, and pushed, so
        that it is served from then on, under every set. BadInput for an empty text, a set that is not published, a new
        text without an answerer, and an answerer whose key is not the one that is published: answers of two answerers
        can't be compared, so they never stand in one store.
        """
        names = list(self.manifest.members(set_name))
        check_inputs(texts, self.manifest.question_texts)
        if answerer is not None:
            self._refuse_other(answerer)
        margins = self._margins(texts, answerer)
        places = [self.manifest.names.index(name) for name in names]
        return pd.DataFrame(margins[:, places], columns=names, index=pd.Index(texts, name="text"))

    def unknown(self, texts: list[str]) -> list[str]:
        """Return those of `texts` that the store has no answers for, each once."""
        check_inputs(texts, self.manifest.question_texts)
        found = self._read([text_id(text) for text in texts])
        return [text for text in dict.fromkeys(texts) if text_id(text) not in found]

    def _margins(self, texts: list[str], answerer: Answerer | None) -> np.ndarray:
        """Return all published margins of texts, float32 (texts, questions)."""
        segments = [text_id(text) for text in texts]
        found = self._read(segments)
        new = {segment: text for segment, text in zip(segments, texts, strict=True) if segment not in found}
        if new:
            if answerer is None:
                raise BadInput(f"{next(iter(new.values()))!r} has no published answers; give an answerer to answer it")
            found |= self._answer_and_push(new, answerer)
        return np.stack([found[segment] for segment in segments])

    def _read(self, segments: list[str]) -> dict[str, np.ndarray]:
        """Return the arrays of those segments that the online store has."""
        asked = list(dict.fromkeys(segments))
        response = self._store.get_online_features(
            features=[f"{ARRAY_VIEW}:{ARRAY}"], entity_rows=[{ENTITY: segment} for segment in asked]
        )
        arrays = response.to_dict()[ARRAY]
        width = len(self.manifest.questions)
        return {
            segment: np.asarray(array, dtype=np.float32)
            for segment, array in zip(asked, arrays, strict=True)
            if array is not None and len(array) == width
        }

    def _answer_and_push(self, new: dict[str, str], answerer: Answerer) -> dict[str, np.ndarray]:
        questions = self.manifest.question_texts
        with tqdm(total=len(new) * len(questions), desc="answering", unit="cell", leave=False) as bar:

            def advance(n_cells: int) -> None:
                bar.update(n_cells)

            answers = answerer.answer(list(new.values()), questions, advance)
        margins = np.asarray(answers.margin, dtype=np.float32)
        if not np.isfinite(margins).all():
            raise BadMatrix(
                f"answerer `{self.manifest.answerer}` gave a margin that is not a number; nothing was pushed"
            )
        with exclusive(self.repo):
            if read_manifest(self.repo) != self.manifest:
                raise BadInput(f"{self.repo} was published anew in the meantime; open it again")
            # Offline first: whatever is served online can be found in the history, also after a crash in between.
            append_offline(self.repo / "data", list(new), margins, self.manifest.names)
            with redirect_stdout(sys.stderr), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._store.push(PUSH_SOURCE, array_table(list(new), margins))
        return dict(zip(new, margins, strict=True))

    def _refuse_other(self, answerer: Answerer) -> None:
        if answerer.key != self.manifest.answerer_key:
            raise BadInput(
                f"the answerer's key {answerer.key} is not that of the published answers, {self.manifest.answerer_key} "
                f"(answerer `{self.manifest.answerer}`, job `{self.manifest.job}`); run `dvc repro publish` first"
            )


def features_for(repo: Path, texts: list[str], set_name: str, answerer: Answerer | None = None) -> pd.DataFrame:
    """Return ServedFeatures(repo).features_for(texts, set_name, answerer): for a single look-up."""
    return ServedFeatures(repo).features_for(texts, set_name, answerer)
