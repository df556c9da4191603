"""Where rows come from: addresses, files, tables."""
