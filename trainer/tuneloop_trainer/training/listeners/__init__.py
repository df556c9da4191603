"""What listens to the loop: each is told of its steps and evaluations."""
