"""How requests are grouped into forward passes."""
