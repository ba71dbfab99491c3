"""How fast answers are served: online in process and over HTTP, for training, and how soon new ones can be read."""
