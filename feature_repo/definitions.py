"""What `feast apply` sees: the objects that data/manifest.json and data/versions.json describe, as variables.

They are not written out here because the questions and sets are data: `qaemb publish` writes these files.
"""

from pathlib import Path

from qaemb.serving import all_versions, feast_objects, read_manifest

_repo = Path(__file__).parent
globals().update(feast_objects(read_manifest(_repo), all_versions(_repo)))
