"""The distill room: small models that learn to answer as a teacher does."""
