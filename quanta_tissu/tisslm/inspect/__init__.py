"""Looking inside: the gradient certificate, parameters, attention."""
