"""What a call may use: the chain of models, its budget and prices."""
