"""Students that are language models: trained to answer a teacher's questions, and then models like any other."""
