"""How objects are shown: rows, pages, live lines. Pure: objects in, text out."""
