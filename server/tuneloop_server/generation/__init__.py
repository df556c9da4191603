"""How an answer is made of tokens: which token comes next, what text the tokens are, where the answer ends. Pure: no model, no clock, no queue."""
