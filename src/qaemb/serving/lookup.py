"""Look-ups: named features of texts from the online store; new texts are answered, checked and pushed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from qaemb.answers import Answerer
from qaemb.errors import BadInput, BadMatrix
from qaemb.identity import text_id
from qaemb.models.inputs import check_inputs
from qaemb.serving.definitions import array_view_name, push_source_name
from qaemb.serving.forgotten import Forgotten
from qaemb.serving.history import append_arrays
from qaemb.serving.manifest import ARRAY, ENTITY, Version, all_versions, read_manifest
from qaemb.serving.repository import exclusive, open_store, plain_server_errors, quiet

Missing = Literal["refuse", "nan"]
"""What a segment without answers gives: an error that names it, or a row of NaN."""

_NOTHING = "publishes nothing; name a job in params.yaml (`publish`) and run `dvc repro publish`"
_ANEW = "was published anew in the meantime; open it again"
_DAY = 86_400.0  # seconds


class ServedFeatures:
    """The published features of one feature repository. Opening it takes seconds, so keep it for many look-ups.

    `repo` is the folder with feature_store.yaml and data/. BadInput if nothing is published there.
    """

    def __init__(self, repo: Path) -> None:
        manifest = read_manifest(repo)
        if manifest is None:
            raise BadInput(f"{repo} {_NOTHING}")
        self.repo = repo
        self.manifest = manifest
        self.versions = all_versions(repo)
        self._view = array_view_name(manifest.version)
        self.store: Any = open_store(repo)
        if self._view not in {view.name for view in self.store.list_feature_views()}:
            raise BadInput(
                f"{repo / 'data'} has a manifest but no feature store of it; run `qaemb publish` to build it"
            )
        Forgotten(repo).resume()

    def version(self, service: str) -> Version:
        """Return the version behind a service: a published set, or a version's own, online or not.

        BadInput lists the services that there are.
        """
        return self.manifest.find_version(service, self.versions)

    def columns(self, service: str) -> list[str]:
        """Return the names of the questions of a service that is served online, in its order.

        `service` is a published set, or a version whose questions are all served now. BadInput for any other.
        """
        version = self.version(service)
        if not self.manifest.serves(version):
            raise BadInput(
                f"feature service `{service}` is a former version, of answerer `{version.answerer}`, and online there "
                f"are the answers of `{self.manifest.answerer}` to what is published now; its history can be asked "
                "(qaemb.serving.historical_features)"
            )
        return version.names

    def features_for(self, texts: Sequence[str], service: str, answerer: Answerer | None = None) -> pd.DataFrame:
        """Return the margins (float32, nats) of `texts`: index `text`, a column per question of the service, in order.

        `answerer` answers all published questions for a text without answers, or whose answers are older than
        `ttl_days`. The new answers are pushed, so that every set serves them from then on. BadInput for an empty text,
        a service that is not served, a new text without an answerer, and an answerer with another key than the
        published one: answers of two answerers can't be compared, so one store never has both.
        """
        names = self.columns(service)
        check_inputs(texts, self.manifest.question_texts)
        if answerer is not None:
            self._refuse_other(answerer)
        margins = self._margins(texts, names, answerer)
        return pd.DataFrame(margins, columns=names, index=pd.Index(texts, name="text"))

    def features_of(self, segments: Sequence[str], service: str, missing: Missing = "refuse") -> pd.DataFrame:
        """Return the margins of segments (ids of texts): index `segment`, a float32 column per question of the service.

        A segment without answers, or whose answers are older than `ttl_days`, raises BadInput, which names it; with
        `missing="nan"` it gets a row of NaN. No answerer helps here, as an id does not have its text.
        """
        names = self.columns(service)
        margins = self._read(segments, names)
        absent = [segment for segment in dict.fromkeys(segments) if segment not in margins]
        if absent and missing == "refuse":
            raise BadInput(
                f"{len(absent)} segments have no answers under `{service}` that may be served, first {absent[0]!r}; "
                "give their texts to `features_for`, with an answerer, or ask for missing='nan'"
            )
        none = np.full(len(names), np.nan, np.float32)
        rows = np.array([margins.get(segment, none) for segment in segments], np.float32).reshape(-1, len(names))
        return pd.DataFrame(rows, columns=names, index=pd.Index(segments, name=ENTITY))

    def unknown(self, texts: Sequence[str], service: str | None = None) -> list[str]:
        """Return the texts without answers to a service's questions (None: all published questions), each once."""
        check_inputs(texts, self.manifest.question_texts)
        names = self.manifest.names if service is None else self.columns(service)
        margins = self._read([text_id(text) for text in texts], names)
        return [text for text in dict.fromkeys(texts) if text_id(text) not in margins]

    def _margins(self, texts: Sequence[str], names: list[str], answerer: Answerer | None) -> NDArray[np.float32]:
        segments = [text_id(text) for text in texts]
        margins = self._read(segments, names)
        new = {segment: text for segment, text in zip(segments, texts, strict=True) if segment not in margins}
        if new:
            if answerer is None:
                raise BadInput(f"{next(iter(new.values()))!r} has no published answers; give an answerer to answer it")
            places = self._places(names)
            margins |= {segment: row[places] for segment, row in self._answer_and_push(new, answerer).items()}
        return np.stack([margins[segment] for segment in segments])

    def _places(self, names: list[str]) -> list[int]:
        place = {name: number for number, name in enumerate(self.manifest.names)}
        return [place[name] for name in names]

    def _read(self, segments: Sequence[str], names: list[str]) -> dict[str, NDArray[np.float32]]:
        """Return the margins of the segments that have an answer to each of these questions online."""
        unique = list(dict.fromkeys(segments))
        if not unique:
            return {}
        response = self._response(unique)
        column = response.results[list(response.metadata.feature_names.val).index(ARRAY)]
        oldest = time.time() - self.manifest.ttl_days * _DAY if self.manifest.ttl_days else -np.inf
        width, places = len(self.manifest.questions), self._places(names)
        rows = {
            segment: np.array(value.float_list_val.val, np.float32)
            for segment, value, answered in zip(unique, column.values, column.event_timestamps, strict=True)
            if len(value.float_list_val.val) == width and answered.seconds >= oldest
        }
        margins = np.array(list(rows.values()), np.float32).reshape(-1, width)[:, places]
        complete = np.asarray(~np.isnan(margins).any(axis=1))
        return {segment: row for segment, row, has_all in zip(rows, margins, complete, strict=True) if has_all}

    def _response(self, segments: list[str]) -> Any:
        """Return Feast's response; BadInput if another publication has dropped the array since this was opened."""
        try:
            with plain_server_errors(self.repo):
                return self.store.get_online_features(
                    features=[f"{self._view}:{ARRAY}"], entity_rows=[{ENTITY: segment} for segment in segments]
                ).proto
        except Exception as error:
            if read_manifest(self.repo) != self.manifest:
                raise BadInput(f"{self.repo} {_ANEW}") from error
            raise

    def _answer_and_push(self, new: dict[str, str], answerer: Answerer) -> dict[str, NDArray[np.float32]]:
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
        now = np.full(len(new), np.datetime64(int(time.time()), "s"))
        with exclusive(self.repo):
            if read_manifest(self.repo) != self.manifest:
                raise BadInput(f"{self.repo} {_ANEW}")
            # Offline first: after a crash in between, the history still has every answer that is served online.
            rows = append_arrays(self.repo / "data", list(new), margins, now)
            Forgotten(self.repo).remove(list(new))
            with quiet(), plain_server_errors(self.repo):
                self.store.push(push_source_name(self.manifest.version), rows)
        return dict(zip(new, margins, strict=True))

    def _refuse_other(self, answerer: Answerer) -> None:
        if answerer.key != self.manifest.answerer_key:
            raise BadInput(
                f"the answerer's key {answerer.key} is not that of the published answers, {self.manifest.answerer_key} "
                f"(answerer `{self.manifest.answerer}`, job `{self.manifest.job}`); run `dvc repro publish` first"
            )


def features_for(repo: Path, texts: Sequence[str], service: str, answerer: Answerer | None = None) -> pd.DataFrame:
    """Return ServedFeatures(repo).features_for(texts, service, answerer): for a single look-up."""
    return ServedFeatures(repo).features_for(texts, service, answerer)
