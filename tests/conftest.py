"""The order of the test files: those that take longest come first, so that processes end together."""

from pathlib import Path

import pytest

LONGEST = ("test_pipeline_real_brains.py", "test_pipeline.py")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        name = Path(item.path).name
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=place)
