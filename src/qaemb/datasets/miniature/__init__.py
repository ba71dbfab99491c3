"""The default data set: annotated stories of our own, spoken and heard by a simulation.

The sources are `properties.yaml` (what a sentence can be annotated for) and one text file a story (`stories.py`).
From these and a seed the generator writes the layout of ds003020, so that one loader reads both:

1. `speech.py` gives every word an onset and an offset, with pauses, and every letter a phone;
2. `planting.py` turns the annotations of the words into a value per TR and property (Lanczos, then an HRF);
3. `planting.py` puts each subject's voxels on fsaverage5 in named regions, each driven by a few properties;
4. it adds AR(1) noise at the stated signal-to-noise and z-scores each run;
5. `generate.py` writes the files, and beside the layout of ds003020 two folders of its own: `derivative/gold/`
   (`properties.csv`, `sentences.csv` with a 0/1 column per property) and `derivative/voxels/` (where voxels lie).

Responses come from the annotations alone, never from a model's answers, so an encoding model of the annotations is
the upper bound of what any answers can reach. Two regions carry no signal: a model that predicts them is wrong.
"""
