"""What comparators count, as the operator reads it: whom to ask and when (pure), and the requests themselves."""
