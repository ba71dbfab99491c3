"""Protocol `paper`: the encoding models of QA-Emb (arXiv 2405.16714) as published."""
