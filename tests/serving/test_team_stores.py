"""The same repository on Redis, and on PostgreSQL with its registry there, too: real servers, the same promises."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from qaemb.answers import Answers
from qaemb.errors import BadInput, QaembError
from qaemb.identity import text_id
from qaemb.serving import ServedFeatures, build_store, forget, historical_features, open_store

from .servers import postgres_server, redis_server
from .test_versions import FIRST, LONGER, MARCH, MARGINS, OTHER, at, make_repo

TEXTS = ["one", "two", "three"]
SEGMENTS = [text_id(text) for text in TEXTS]

pytestmark = pytest.mark.slow


class Fives:
    key = "key-a"

    def answer(self, texts, questions, progress=None) -> Answers:
        values = np.full((len(texts), len(questions)), 5, np.float32)
        return Answers(values, np.ones_like(values))


class OnRedis:
    """Redis as the online store; the registry stays a file."""

    @staticmethod
    @contextmanager
    def server():
        with redis_server() as port:
            yield {"online_store": {"type": "redis", "connection_string": f"127.0.0.1:{port}"}}

    @staticmethod
    def knows(config, view, segment) -> bool:
        import redis

        host, port = config["online_store"]["connection_string"].split(":")
        client = redis.Redis(host=host, port=int(port))
        keys = [key for key in client.scan_iter() if segment.encode() in key]
        return any(f"_ts:{view}".encode() in client.hkeys(key) for key in keys)


class OnPostgres:
    """PostgreSQL as the online store and as the registry."""

    @staticmethod
    @contextmanager
    def server():
        with postgres_server() as port:
            place = {"host": "127.0.0.1", "port": port, "database": "postgres", "db_schema": "public"}
            online = {"type": "postgres", **place, "user": "postgres", "password": "none", "sslmode": "disable"}
            address = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
            yield {"online_store": online, "registry": {"registry_type": "sql", "path": address}}

    @staticmethod
    def knows(config, view, segment) -> bool:
        import psycopg

        own = config["online_store"]
        where = f"host=127.0.0.1 port={own['port']} dbname=postgres user=postgres"
        with psycopg.connect(where) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            if (f"qaemb_{view}",) not in tables:
                return False
            keys = connection.execute(f'SELECT entity_key FROM "qaemb_{view}"').fetchall()
        return any(segment.encode() in bytes(key) for (key,) in keys)


@pytest.fixture(params=[OnRedis, OnPostgres], scope="module")
def place(request, tmp_path_factory):
    with request.param.server() as parts:
        yield request.param, parts


@pytest.fixture
def repo(place, tmp_path):
    _, parts = place
    repo = make_repo(tmp_path)
    values = yaml.safe_load((repo / "feature_store.yaml").read_text())
    (repo / "feature_store.yaml").write_text(yaml.safe_dump(values | parts))
    return repo


def test_a_store_on_a_server_keeps_the_same_promises(place, repo):
    kind, parts = place
    build_store(repo, FIRST, SEGMENTS, MARGINS, at(MARCH))
    assert not (repo / "data" / "online_store.db").exists()
    served = ServedFeatures(repo)
    np.testing.assert_array_equal(served.features_of(SEGMENTS, "core"), MARGINS[:, [2, 0]])
    store = open_store(repo)
    rows = [{"segment": segment} for segment in (*SEGMENTS, "nowhere")]
    named = store.get_online_features(features=store.get_feature_service("core"), entity_rows=rows).to_df()
    np.testing.assert_array_equal(named[["q2", "q0"]], [*MARGINS[:, [2, 0]], [np.nan, np.nan]])

    np.testing.assert_array_equal(served.features_for(["new", "one"], "full", Fives()), [[5, 5, 5], MARGINS[0]])
    np.testing.assert_array_equal(ServedFeatures(repo).features_for(["new"], "full"), [[5, 5, 5]])
    asked = pd.DataFrame({"text": ["new"], "event_timestamp": pd.Timestamp.now(tz="UTC")})
    np.testing.assert_array_equal(historical_features(repo, asked, "core")[["q2", "q0"]], [[5, 5]])

    view = f"answers_{FIRST.version}"
    assert kind.knows(parts, view, SEGMENTS[1])
    forget(repo, ["two"])
    assert not kind.knows(parts, view, SEGMENTS[1])
    assert kind.knows(parts, view, SEGMENTS[0])
    assert ServedFeatures(repo).unknown(TEXTS) == ["two"]


def test_another_version_takes_over_and_the_old_one_is_dropped(place, repo):
    kind, parts = place
    build_store(repo, FIRST, SEGMENTS, MARGINS, at(MARCH))
    before = ServedFeatures(repo)
    build_store(repo, OTHER, SEGMENTS, -MARGINS, at(MARCH))
    np.testing.assert_array_equal(ServedFeatures(repo).features_of(SEGMENTS, "core"), -MARGINS[:, [2, 0]])
    assert kind.knows(parts, f"answers_{OTHER.version}", SEGMENTS[0])
    assert not kind.knows(parts, f"answers_{FIRST.version}", SEGMENTS[0])
    with pytest.raises(BadInput, match="was published anew in the meantime; open it again"):
        before.features_of(SEGMENTS, "core")
    services = {own.name for own in open_store(repo).list_feature_services()}
    assert services == {"core", *(own.service for own in (*FIRST.versions, *OTHER.versions))}
    asked = pd.DataFrame({"segment": SEGMENTS, "event_timestamp": MARCH})
    found = historical_features(repo, asked, FIRST.versions[0].service)
    np.testing.assert_array_equal(found[["q2", "q0"]], MARGINS[:, [2, 0]])


def test_a_publication_that_ends_on_the_way_leaves_what_was_served_and_nothing_for_ever(place, repo, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    kind, parts = place
    build_store(repo, FIRST, SEGMENTS, MARGINS, at(MARCH))
    for step in ("write_manifest", "_switch_server"):
        with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
            broken.setattr(f"qaemb.serving.feast_store.{step}", stop)
            build_store(repo, OTHER, SEGMENTS, -MARGINS, at(MARCH))
        assert kind.knows(parts, f"answers_{OTHER.version}", SEGMENTS[0])
        if step == "write_manifest":
            np.testing.assert_array_equal(ServedFeatures(repo).features_of(SEGMENTS, "core"), MARGINS[:, [2, 0]])
    build_store(repo, LONGER, SEGMENTS, np.column_stack([MARGINS, [7, 8, 9]]), at(MARCH))
    known = [own for own in (FIRST, OTHER, LONGER) if kind.knows(parts, f"answers_{own.version}", SEGMENTS[0])]
    assert known == [LONGER]


def test_what_is_too_old_is_not_served(place, repo):
    build_store(repo, replace(FIRST, ttl_days=1.0), SEGMENTS, MARGINS, at(MARCH))
    assert ServedFeatures(repo).unknown(TEXTS) == TEXTS


def test_a_server_that_is_not_there_is_named(place, repo):
    _, parts = place
    build_store(repo, FIRST, SEGMENTS, MARGINS, at(MARCH))
    text = (repo / "feature_store.yaml").read_text()
    port = str(parts["online_store"].get("port") or parts["online_store"]["connection_string"].split(":")[1])
    (repo / "feature_store.yaml").write_text(text.replace(port, "9"))
    with pytest.raises(QaembError, match=r"a server that .*feature_store\.yaml names failed"):
        ServedFeatures(repo).features_of(SEGMENTS, "core")
    before = sorted(path.name for path in repo.iterdir())
    with pytest.raises(QaembError, match=r"a server that .*feature_store\.yaml names failed"):
        build_store(repo, OTHER, SEGMENTS, -MARGINS, at(MARCH))
    assert sorted(path.name for path in repo.iterdir()) == before
    (repo / "feature_store.yaml").write_text(text)
    np.testing.assert_array_equal(ServedFeatures(repo).features_of(SEGMENTS, "core"), MARGINS[:, [2, 0]])


def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch):
    repo = make_repo(tmp_path)
    values = yaml.safe_load((repo / "feature_store.yaml").read_text())
    values["online_store"] = {"type": "milvus"}
    (repo / "feature_store.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(BadInput, match=r"feature_store\.yaml names a store that Feast can't load"):
        open_store(repo)
