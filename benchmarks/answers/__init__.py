"""How fast engine `shared` answers, beside other ways to do the same work: `make bench-answers`."""
