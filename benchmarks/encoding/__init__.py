"""Ridge regression with a penalty per voxel: the project's solver beside other ways to fit the same models."""
