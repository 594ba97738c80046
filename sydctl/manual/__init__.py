"""Man pages, made from the parsers of the programs and from docs/*.md."""
