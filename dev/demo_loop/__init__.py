"""The story of drift: four kinds of real text, the traffic that turns from one to another, and the page at the end."""
