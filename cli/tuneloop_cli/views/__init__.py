"""What a person sees of an object: rows, pages, live lines. Pure: objects in, text out."""
