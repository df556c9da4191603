"""Roll-outs of a ModelDeployment, pure: what one remembers, the facts that it depends on, and what follows."""
