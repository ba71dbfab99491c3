"""Sources of stories and responses behind one protocol, and the generator of the default data set."""
