"""A downstream model on published answers: trained on the feature store's history, used on its online features.

Predicts one gold property of a sentence from the answers to all other questions of a published set, by logistic
regression, and prints the score on stories that it was not trained on. The model is logged in MLflow with the version
of its features, and what predicts at the end is what was loaded from there. Run `dvc repro publish` first, then

    python examples/downstream.py [SET]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from qaemb.errors import BadInput, QaembError
from qaemb.files import read_table
from qaemb.serving import read_manifest
from qaemb.settings import load_settings
from qaemb.stages import served_models
from qaemb.stages.served_models import Rows
from qaemb.tracking import Tracker
from qaemb.workspace import Workspace


def labelled_sentences(workspace: Workspace, segmentation: str) -> pd.DataFrame:
    """Return a row per sentence: `story`, `split`, `segment_id` and a bool column per gold property."""
    gold = workspace.dataset / "gold.parquet"
    if not gold.exists():
        raise BadInput(f"{gold} does not exist: this example needs a data set with gold annotations, like miniature")
    occurrences = read_table(workspace.segments(segmentation) / "occurrences.parquet")
    stories = read_table(workspace.dataset / "stories.parquet", ["story", "split"])
    return occurrences[["story", "index", "segment_id"]].merge(read_table(gold)).merge(stories)


def most_balanced_property(sentences: pd.DataFrame, properties: list[str]) -> str:
    """Return the property whose share of yes in the train stories is nearest to one half."""
    shares = sentences.loc[sentences["split"] == "train", properties].mean()
    return str((shares - 0.5).abs().idxmin())


def main(root: Path, set_name: str = "core") -> float:
    """Train, compare offline with online predictions, print and return the AUC on the test stories."""
    workspace = Workspace(root)
    settings = load_settings(root / "params.yaml")
    manifest = read_manifest(workspace.feature_repo)
    if manifest is None:
        raise BadInput("nothing is published; name a job in params.yaml (`publish`) and run `dvc repro publish`")
    members = manifest.members(set_name)
    sentences = labelled_sentences(workspace, settings.answers.jobs[manifest.job].segmentation)
    questions = read_table(workspace.questions / "questions.parquet", ["name", "property"]).set_index("name")[
        "property"
    ]
    target = most_balanced_property(sentences, [str(name) for name in sentences if name in set(questions.dropna())])
    names = [name for name in members if questions[name] != target]

    train, test = (sentences[sentences["split"] == split] for split in ("train", "test"))
    rows = Rows(list(train["segment_id"]), pd.Timestamp.now(tz="UTC"), list(train[target]), target)
    estimator = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    model = served_models.train(workspace, set_name, rows, estimator, names)
    asked = list(test["segment_id"])
    then = served_models.features_then(workspace, model.contract, asked, rows.asked_at)
    offline_yes = model.predict_proba(then)[:, 1]
    auc = float(roc_auc_score(test[target], offline_yes))

    model_id = served_models.log(workspace, f"{target} from {set_name}", model, rows, {"auc": auc})
    loaded = Tracker(workspace.mlruns).load_feature_model(model_id)
    online_yes = served_models.predict_now(workspace, loaded, asked)[:, 1]
    assert np.array_equal(offline_yes, online_yes), "the online store serves other values than the history"
    print(
        f"{len(train)} sentences to train, {len(test)} of other stories to test, {len(names)} questions of `{set_name}`"
    )
    print(f"property `{target}` from the answers to other questions: AUC {auc:.3f} (0.5 is chance)")
    print(f"offline and online predictions are the same; model {model_id} of service `{model.contract.service}`")
    return auc


if __name__ == "__main__":
    try:
        main(Path(__file__).resolve().parents[1], *sys.argv[1:2])
    except QaembError as error:
        sys.exit(f"downstream: {error}")
