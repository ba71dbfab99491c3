"""What `feast apply` sees: the objects that data/manifest.json describes, as variables of this module.

They are not written out here because the questions and sets are data: `qaemb publish` writes the manifest.
"""

from pathlib import Path

from qaemb.serving import feast_objects, read_manifest

globals().update(feast_objects(read_manifest(Path(__file__).parent)))
